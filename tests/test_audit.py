"""The audit: partial runs, comparison, tolerances, the choice, and faults that were planted."""

import fnmatch
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters import audit, kinds
from luckmatters.audit import AGREES, DEPARTS, compare, conclude, departures, sample, spread
from luckmatters.config import Project
from luckmatters.costs import seconds
from luckmatters.errors import UserError
from luckmatters.jobs import recompute as recomputing
from luckmatters.jobs.recompute import CannotError, in_hindsight, recompute
from luckmatters.science.data import Gaus
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run

PROJECT = Project(ROOT, scale="ci")
RUN = PROJECT.run("learning-rate", "lr-005-m1")
COLUMNS = ["kind", "experiment", "variant", "quantity", "stage", "difference"]
NOTHING_MOVES = pd.DataFrame([(kind, "any", "any", "loss", 1.0, 0.0) for kind in kinds.registry()], columns=COLUMNS)
PARTIAL = {  # a run of each kind that trains students
    "student-training": "learning-rate/lr-005-m1",
    "luck-speed": "luck-speed/base",
    "lottery": "lottery-sparsity/iterative-x1",
    "layer-by-layer": "layer-by-layer/d4-m1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def kept(folder: Path) -> pd.DataFrame:
    return recompute(PROJECT, RUN, RUN.seeds, float("inf"), folder)


def test_every_kind_that_trains_students_is_tried() -> None:
    assert set(PARTIAL) == {name for name, kind in kinds.registry().items() if kind.verb in ("train", "retrain")}


@pytest.mark.parametrize("kind", PARTIAL)
def test_hindsight_is_what_changes_while_a_run_goes_on(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = smaller(PROJECT.run(*PARTIAL[kind].split("/")))
    monkeypatch.setattr(recomputing, "in_hindsight", lambda run, quantities: quantities == "")
    part, whole = (recompute(PROJECT, run, run.seeds[:2], epochs, folder) for epochs in (1, float("inf")))
    assert part["epoch"].max() == 1 < whole["epoch"].max()
    both = part.merge(whole, on=[key for key in part if key != "value"], suffixes=("_part", "_whole"), validate="1:1")
    assert len(both) == len(part)
    same = both["value_part"].eq(both["value_whole"]) | (both["value_part"].isna() & both["value_whole"].isna())
    changed = both["quantity"][~same].drop_duplicates()
    assert in_hindsight(run, changed).all()
    for pattern in kinds.registry()[kind].hindsight:
        assert fnmatch.filter(changed, pattern), f"{pattern} did not change"


def smaller(run: Run) -> Run:
    """A run with smaller students and fewer samples, if the run has students of its own."""
    if kinds.verb(run) != "train":
        return run
    settings = run.settings
    changes = {
        "student": settings.student.model_copy(update={"multiplier": 2}),
        "data": settings.data.model_copy(update={"samples_per_epoch": 960}),
    }
    return run.model_copy(update={"settings": settings.model_copy(update=changes)})


def test_a_run_that_is_not_complete_has_no_quantity_in_hindsight(kept: pd.DataFrame, folder: Path) -> None:
    part = recompute(PROJECT, RUN, [0], 1, folder)
    assert set(kept["quantity"]) - set(part["quantity"]) == {"mean_rank", "median_rank", "mean_rank_192"}


def test_a_seed_alone_is_recomputed_as_in_a_batch(kept: pd.DataFrame, folder: Path) -> None:
    compared = compare(kept, recompute(PROJECT, RUN, [1], 1, folder))
    assert set(compared["seed"]) == {1}
    assert set(compared["epoch"]) == {0, 1}
    assert compared["difference"].max() < 1e-6  # rounding of float32 after 20 steps


def test_nothing_is_written_to_the_project(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recompute(PROJECT, RUN, [0], 1, folder)
    assert not list(tmp_path.iterdir())


# --- comparing -------------------------------------------------------------------------------------------------------


def test_a_table_read_from_text_agrees_with_itself(kept: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(kept.to_csv(index=False)))
    compared = compare(read, kept)
    assert len(compared) == len(kept)
    assert compared["difference"].max() == 0


@pytest.mark.parametrize(
    "name",
    ["fan-out-one-hidden/m5", "two-nodes/matrix", "decision-lines/n6", "bn-bias-vgg/vgg11", "small-overlap/fc-small"],
)
def test_runs_of_other_verbs_are_whole(name: str, folder: Path) -> None:
    run = PROJECT.run(*name.split("/"))
    table = recompute(PROJECT, run, [0], 1, folder)
    assert compare(table, table)["difference"].eq(0).sum() == len(table)
    if kinds.verb(run) == "simulate" and run.kind != "two-nodes":  # which has everything at epoch 0
        assert table["epoch"].max() == run.settings.epochs


def test_a_missing_row_and_a_missing_value_are_infinitely_far(kept: pd.DataFrame) -> None:
    row = kept.query("quantity == 'correlation' and seed == 0 and epoch == 1").index[0]
    assert np.isinf(compare(kept.drop(index=row), kept)["difference"].max())
    assert np.isinf(compare(kept, kept.drop(index=row))["difference"].max())
    assert np.isinf(compare(kept.assign(value=kept["value"].where(kept.index != row)), kept)["difference"].max())


def test_a_kept_table_without_a_column_is_refused(kept: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no column layer"):
        compare(kept.drop(columns="layer"), kept)


def test_tolerances_are_of_the_run_then_of_the_kind() -> None:
    compared = pd.DataFrame({"epoch": [1.0, 1.0, 1.0], "quantity": ["a", "b", "c"], "difference": 1e-3})
    rows = [("a", RUN.experiment, 1e-4), ("a", "other", 1e-1), ("b", RUN.experiment, 0.0), ("b", "other", 1e-2)]
    measured = pd.DataFrame(
        [(RUN.kind, experiment, RUN.variant, quantity, 1, moved) for quantity, experiment, moved in rows],
        columns=COLUMNS,
    )
    allowed = 1e-3 / departures(RUN, compared, measured)
    assert allowed.tolist() == pytest.approx([5 * 1e-4 + 2e-5, 5 * 1e-2 + 2e-5, 2e-5])


def test_a_kind_without_measured_tolerances_is_not_judged(kept: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no tolerances are measured for kind student-training"):
        departures(RUN, compare(kept, kept), NOTHING_MOVES.iloc[:0])


def test_the_spread_is_the_greatest_difference_by_training_behind() -> None:
    compared = pd.DataFrame({"epoch": [0, 0.5, 1, 2, 9], "quantity": "a", "difference": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert spread(compared)["difference"].tolist() == [1.0, 3.0, 5.0]


# --- choosing --------------------------------------------------------------------------------------------------------


def every_run(project: Project) -> list[tuple[Run, pd.DataFrame]]:
    return [
        (run, pd.DataFrame({"seed": run.seeds}))
        for name in project.experiments
        for run in project.own_runs(name).values()
    ]


def test_the_choice_repeats_and_stays_within_the_time() -> None:
    runs = every_run(PROJECT)
    one, other = (sample(runs, seconds, seed=7, within=200) for _ in range(2))
    assert one == other != sample(runs, seconds, seed=8, within=200)
    assert 150 < sum(choice.seconds for choice in one) <= 200


def test_every_experiment_has_a_turn_before_any_has_two() -> None:
    chosen = [choice.run.experiment for choice in sample(every_run(PROJECT), seconds, seed=0, within=float("inf"))]
    names = {run.experiment for run, _ in every_run(PROJECT)}
    assert set(chosen[: len(names)]) == names


def test_what_takes_longer_than_all_the_time_is_passed_over() -> None:
    runs = every_run(Project(ROOT, scale="paper"))
    affordable = {run.experiment for run, _ in runs if seconds(run, 1) <= 300}
    chosen = {choice.run.experiment for seed in range(100) for choice in sample(runs, seconds, seed=seed, within=300)}
    assert chosen == affordable
    assert {run.experiment for run, _ in runs} - chosen == {
        "cifar-conv",
        "gaus-conv",
        "modulation-cifar",
        "rank-profile",
    }


# --- the audit -------------------------------------------------------------------------------------------------------


def rows_of(kept: pd.DataFrame, run: Run = RUN, project: Project = PROJECT) -> list[dict]:
    return list(audit.audit(project, [(run, kept)], NOTHING_MOVES, seconds, seed=0, within=seconds(run, 1)))


def test_kept_results_that_agree(kept: pd.DataFrame) -> None:
    (row,) = rows_of(kept)
    assert (row["verdict"], row["epochs"]) == (AGREES, 1)
    assert row["rows"] > 100
    assert "1 kept results" in conclude([row], seed=0, within=60)


def test_a_changed_digit_departs(kept: pd.DataFrame) -> None:
    changed = kept["value"].where(kept["quantity"] != "weight_cosine", kept["value"] + 1e-4)
    (row,) = rows_of(kept.assign(value=changed))
    assert (row["verdict"], row["quantity"]) == (DEPARTS, "weight_cosine")
    with pytest.raises(UserError, match=r"learning-rate/lr-005-m1 seed \d \(weight_cosine\).*--seed 0 --seconds 60"):
        conclude([row], seed=0, within=60)


def test_a_little_momentum_departs(kept: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", lambda self, *given, **named: plain(self, *given, **named, momentum=1e-3))
    assert rows_of(kept)[0]["verdict"] == DEPARTS


def test_an_evaluation_on_training_samples_departs(kept: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Gaus, "evaluation_set", lambda self, seeds, count: (next(self.blocks(seeds, 0))[..., :count], None)
    )
    assert rows_of(kept)[0]["verdict"] == DEPARTS


def test_the_report_names_the_choice_and_the_verdicts(
    kept: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(audit, "measured_spread", lambda project: NOTHING_MOVES)
    concluded = audit.report(PROJECT, [(RUN, kept[kept["seed"] == 1])], seconds, seed=None, within=10)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("audit --seed ")
    assert second.startswith("learning-rate/lr-005-m1 seed 1: ")
    assert AGREES in second
    assert first.removesuffix(", scale ci") in concluded


def test_what_cannot_be_recomputed_is_said_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, kept: pd.DataFrame
) -> None:
    monkeypatch.delenv("LUCKMATTERS_CIFAR10", raising=False)
    paper = Project(ROOT, scale="paper")
    (row,) = rows_of(pd.DataFrame({"seed": [0]}), paper.run("cifar-fc", "no-bn"), paper)
    assert "no images of CIFAR-10" in row["verdict"]
    with pytest.raises(UserError, match="nothing was recomputed"):
        conclude([row], seed=0, within=60)


def test_a_teacher_that_was_trained_otherwise_is_not_used(folder: Path) -> None:
    laptop = Project(ROOT, scale="laptop")
    with pytest.raises(CannotError, match="teacher cifar-fc is not kept"):
        recompute(laptop, laptop.run("cifar-fc", "bn"), [0], 1, folder / "laptop")
