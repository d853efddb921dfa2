"""What students learn from, and teachers and students whose shapes do not fit each other."""

import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.learning.data import on_labels
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import train_epoch
from luckmatters.science.data import Gaus
from luckmatters.science.networks import initialize_students
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer


@pytest.mark.parametrize(
    ("inputs", "widths", "message"),
    [
        ([20], [30, 5], "need equal layers, got 3 and 2"),
        ([20], [30, 40, 6], "need equal outputs, got 5 and 6; outputs end the widths"),
        ([21], [30, 40, 5], r"need equal inputs, got \(20,\) and \(21,\)"),
    ],
)
def test_students_of_another_shape_are_refused_by_name(inputs: list[int], widths: list[int], message: str) -> None:
    seeds, data = range(2), Gaus(dimension=20, std=10.0, samples=64, infinite=True, batch=64)
    teachers = draw_teachers([20], [6, 8, 5], init="separated", seeds=seeds)
    students = initialize_students(inputs, widths, seeds=seeds)
    with pytest.raises(ValueError, match=message):
        train_epoch(Trainer(students), teachers, data, seeds, 0, rate=0.1)
    with pytest.raises(ValueError, match=message):
        overlaps(teachers, students, data.evaluation_set(seeds, 8)[0])


@pytest.mark.parametrize(("inputs", "widths"), [(20, [3, 2]), ([20], 2)])
def test_a_number_in_place_of_a_list_is_refused_by_name(inputs, widths) -> None:
    with pytest.raises(TypeError, match=r"inputs and widths are lists, such as \[20\] and \[10, 15, 100\], got"):
        initialize_students(inputs, widths, seeds=[0])


@pytest.mark.parametrize(
    ("experiment", "variant", "labels"),
    [("gaus-fc", "bn", False), ("cifar-fc", "bn", False), ("lottery-cifar-dense", "base", True)],
)
def test_students_see_labels_only_where_their_settings_ask_for_labels(
    experiment: str, variant: str, labels: bool
) -> None:
    """CIFAR-10 has labels, but the students of its teachers see the teacher's outputs alone (paper, Section 5)."""
    assert on_labels(Project(ROOT).run(experiment, variant).settings) == labels
