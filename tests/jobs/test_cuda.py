"""Training on a graphics card, where there is one: the numbers of the CPU, within what rounding may change."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from builders import CONV, FULL, ROUNDING, draw, inputs, students, vanishes
from conftest import ROOT

from luckmatters import kinds, reports
from luckmatters.artefacts import MANIFEST, reference_file
from luckmatters.cifar10 import VARIABLE
from luckmatters.config import Project
from luckmatters.jobs import verbs
from luckmatters.jobs.bundles import cifar10_bundle, run_bundle, teacher_bundle
from luckmatters.regression import departures
from luckmatters.science.networks import Networks
from luckmatters.science.training import Trainer
from luckmatters.tables.columns import SUMMARY_KEYS, present

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")

ON_DEVICE = {"train", "retrain", "simulate"}  # the steps that take one; the others always run on the CPU
CI = Project(ROOT, scale="ci")
SPREAD = pd.read_csv(ROOT / "data" / "reference" / "ci" / "spread.csv")
TRAINED = [name for name in CI.experiments if ON_DEVICE & {kinds.verb(run) for run in CI.own_runs(name).values()}]


@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("shape", [FULL, CONV], ids=["fully-connected", "convolutional"])
def test_recorded_steps_equal_those_of_the_cpu_in_float64(shape: dict, momentum: float) -> None:
    """Batches of two sizes, whose steps are recorded apart, and a learning rate that changes, and comes back."""
    sizes, rates = [16, 16, 16, 5] * 4, [0.1] * 6 + [0.03] * 6 + [0.1] * 4
    x, y = draw((len(sizes), 2, inputs(shape), 16), 1), draw((len(sizes), 2, 4, 16), 2)
    trained: dict[str, Networks] = {}
    losses: list[list[float]] = []
    for device in ("cpu", "cuda"):
        networks = students([0, 1], "after", shape=shape, device=device)
        trainer = Trainer(networks, momentum=momentum)
        for step, (size, rate) in enumerate(zip(sizes, rates, strict=True)):
            trainer.step(x[step, ..., :size].to(device), y[step, ..., :size].to(device), rate)
        trained[device] = networks
        losses.append(trainer.mean_loss().tolist())
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    assert [rate for rate, _, _ in trainer._recorded.values()] == [0.1, 0.1]
    torch.testing.assert_close(trained["cuda"].state(), trained["cpu"].state(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", ["after", "before"])
def test_recorded_steps_in_bfloat16_equal_the_cpu_in_float32_to_their_precision(norm: str) -> None:
    """Each step from the CPU's state; twice as much is allowed as for the first one on a CPU (see test_training)."""
    x, y = draw((5, 2, inputs(CONV), 64), 1, torch.float32), draw((5, 2, 4, 64), 2, torch.float32)
    exact, rounded = (students([0, 1], norm, torch.float32, CONV, device) for device in ("cpu", "cuda"))
    on_cpu, on_card = Trainer(exact), Trainer(rounded, precision=torch.bfloat16)
    for step in range(len(x)):
        before = exact.state()
        for (_, mine), tensor in zip(rounded.named_tensors(), before.values(), strict=True):
            mine.copy_(tensor)
        on_cpu.step(x[step], y[step], 0.1)
        on_card.step(x[step].to("cuda"), y[step].to("cuda"), 0.1)
        for (name, theirs), (_, mine) in zip(exact.named_tensors(), rounded.named_tensors(), strict=True):
            if not vanishes(name):
                error = (mine.cpu() - theirs).norm() / (theirs - before[name]).norm()
                assert 0 < error < 2 * ROUNDING, (step, name)


def test_a_trainer_goes_on_after_another_is_deleted() -> None:
    """The deleted trainer's recording may have created state that libraries share among recordings."""
    x, y = draw((6, 2, inputs(CONV), 16), 1), draw((6, 2, 4, 16), 2)
    expected = Trainer(students([0, 1], "after", shape=CONV))
    kept, gone = (Trainer(students([0, 1], "after", shape=CONV, device="cuda")) for _ in range(2))
    for step in range(6):
        expected.step(x[step], y[step], 0.1)
        if gone:
            gone.step(x[step].to("cuda"), y[step].to("cuda"), 0.1)
        kept.step(x[step].to("cuda"), y[step].to("cuda"), 0.1)
        if step == 2:
            gone = None
            torch.cuda.empty_cache()
    found = {name: tensor.cpu() for name, tensor in kept.state().items()}
    torch.testing.assert_close(found, expected.state(), rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The ci scale on the card, its results and figures in folders of their own."""
    folder: Path = tmp_path_factory.mktemp("cuda")
    return Project(ROOT, scale="ci", device="cuda", results=str(folder / "results"), figures=str(folder / "figures"))


@pytest.mark.parametrize("name", TRAINED)
def test_numbers_on_the_card_agree_with_the_committed_summary(
    name: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of an experiment's jobs, against the summary that is committed, until the end of the first epoch.

    From then on rounding grows from step to step; until then the means may differ by what other processors' do, or by
    two standard errors.
    """
    monkeypatch.delenv(VARIABLE, raising=False)
    make(project, name)
    reports.summary(project, name)
    new = pd.read_csv(reports.artefacts.summary_files(project.figures, name)["csv"])
    spread = SPREAD[SPREAD["experiment"] == name].set_index(["variant", "quantity"])["difference"]
    reference = pd.read_csv(ROOT / reference_file("ci", name))
    known = reference["epoch"] <= 1
    error = 2 * reference["std"] / reference["seeds"] ** 0.5 / reference["mean"].abs().clip(lower=1)
    keys = present(SUMMARY_KEYS, reference)
    found = departures(reference[known], new[new["epoch"] <= 1], spread)
    found = found.merge(reference[keys].assign(error=error), how="left", on=keys)
    found = found[~(found["difference"] <= found["error"])]
    assert found.empty, found.to_string()


def make(project: Project, name: str) -> None:
    """Whatever an experiment needs, and is not there yet."""
    for run, _ in project.variants(name).values():
        if run.source:
            make(project, run.source.experiment)
        if run.teacher:
            make_teacher(project, run.trained.settings.teacher.name)
        for seeds in project.chunks(run):
            if not (run_bundle(project, run, seeds).folder / MANIFEST).exists():
                getattr(verbs, kinds.verb(run))(project, run.experiment, run.variant, seeds)


def make_teacher(project: Project, name: str) -> None:
    trained = project.teachers[name].init == "trained"
    if trained and not (cifar10_bundle(project).folder / MANIFEST).exists():
        verbs.prepare_cifar10(project)
    if not (teacher_bundle(project, name).folder / MANIFEST).exists():
        (verbs.train_teacher if trained else verbs.generate_teacher)(project, name)
