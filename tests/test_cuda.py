"""Training on a graphics card, where there is one: the numbers of the CPU, within what rounding may change."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT
from test_regression import SPREAD

from luckmatters import jobs, reports
from luckmatters.artefacts import reference_file
from luckmatters.cifar10 import VARIABLE
from luckmatters.config import Project
from luckmatters.regression import departures

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")

ON_DEVICE = {"train", "retrain", "simulate"}  # the steps that take one; the others always run on the CPU
CI = Project(ROOT, scale="ci")
TRAINED = [name for name in CI.experiments if ON_DEVICE & {run.step for run in CI.own_runs(name).values()}]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The ci scale on the card, its results and figures in folders of their own."""
    folder: Path = tmp_path_factory.mktemp("cuda")
    return Project(ROOT, scale="ci", device="cuda", results=str(folder / "results"), figures=str(folder / "figures"))


@pytest.mark.parametrize("name", TRAINED)
def test_numbers_are_those_of_the_cpu(name: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of an experiment's jobs, against the summary that is committed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    make(project, name)
    reports.summary(project, name)
    new = pd.read_csv(reports.artefacts.summary_file(project.figures, name))
    spread = SPREAD[SPREAD["experiment"] == name].set_index(["variant", "quantity"])["difference"]
    found = departures(pd.read_csv(ROOT / reference_file("ci", name)), new, spread)
    assert found.empty, found.to_string()


def make(project: Project, name: str) -> None:
    """Whatever an experiment needs, and is not there yet."""
    for run, _ in project.variants(name).values():
        if run.source:
            make(project, run.source.experiment)
        if run.teacher:
            make_teacher(project, run.trained.settings.teacher.name)
        for seeds in project.chunks(run):
            if not (jobs.run_bundle(project, run, seeds).folder / jobs.MANIFEST).exists():
                getattr(jobs, run.step)(project, run.experiment, run.variant, seeds)


def make_teacher(project: Project, name: str) -> None:
    pretrained = project.teachers[name].init == "pretrained"
    if pretrained and not (jobs.cifar10_bundle(project).folder / jobs.MANIFEST).exists():
        jobs.prepare_cifar10(project)
    if not (jobs.teacher_bundle(project, name).folder / jobs.MANIFEST).exists():
        (jobs.pretrain_teacher if pretrained else jobs.generate_teacher)(project, name)
