"""Claims on over-parameterization and generalization from finite training sets."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from luckmatters.judging.curves import at, beside, last_epoch
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell
from luckmatters.judging.variants import EVERY, Variants, multiplier, one
from luckmatters.kinds.student_training.claims.luck import head_start
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

WIDE = 10  # the multiplier from which on students count as over-parameterized, as in the paper's main figures


def training_set(run: Run) -> str:
    """The set that a run's students are trained on, apart from seeds: what students of several multipliers share."""
    return run.settings.data.model_dump_json()


def by_set(results: Results, which: Variants = EVERY) -> dict[str, dict[int, pd.DataFrame]]:
    """Errors by training set and multiplier: index (seed, epoch), columns training_error and test_error.

    Raises LacksDataError if no variant has them.
    """
    sets: dict[str, dict[int, pd.DataFrame]] = {}
    for variant, run in results.runs.items():
        if which(run):
            this = Variants(variant, lambda other, run=run: other is run)
            ((training, test),) = beside(results, "training_error", "test_error", which=this)
            table = pd.concat([training.iloc[:, 0], test.iloc[:, 0]], axis=1, keys=["training_error", "test_error"])
            sets.setdefault(training_set(run), {})[run.settings.student.multiplier] = table
    if not sets:
        raise LacksDataError(f"{results.name} has no variant that is {which.text}")
    return sets


def at_error(errors: pd.DataFrame, level: float) -> float:
    """log of the test error at the first time at which the training error is no higher than a level.

    Between epochs log test error is interpolated on log training error. errors: index epoch, of a seed that comes to
    the level.
    """
    logs = np.log(errors)
    first = int((errors["training_error"] <= level).argmax())
    if first == 0:
        return float(logs["test_error"].iloc[0])
    (x0, y0), (x1, y1) = logs[["training_error", "test_error"]].iloc[first - 1 : first + 1].to_numpy()
    return float(y1 if x0 == x1 else y0 + (y1 - y0) * (np.log(level) - x0) / (x1 - x0))


def at_common_error(narrow: pd.DataFrame, wide: pd.DataFrame) -> pd.Series:
    """log ratio of the test errors of narrow and wide students at the same training error, by seed.

    The training error is the lowest one that both come to. A student that diverged has no error: see
    :func:`luckmatters.judging.statistics.difference`.
    """
    logs: dict[str, dict[int, float]] = {"narrow": {}, "wide": {}}
    seeds = sorted(set(narrow.index.unique("seed")) & set(wide.index.unique("seed")))
    for seed in seeds:
        students = {"narrow": narrow.xs(seed), "wide": wide.xs(seed)}
        whole = {name: errors for name, errors in students.items() if errors.notna().all(axis=None)}
        level = max((errors["training_error"].min() for errors in whole.values()), default=np.nan)
        for name in students:
            logs[name][seed] = at_error(whole[name], level) if name in whole else np.nan
    ours, theirs = (-pd.Series(logs[name], dtype=float) for name in ("wide", "narrow"))
    return difference(ours, theirs)


def right_size_worse(results: Results, wide: int | None = WIDE, which: Variants = EVERY) -> Effect:
    """log ratio of the test errors of m = 1 and of wide students at the same training error, in every set.

    wide: the multiplier of wide students; None: the largest of the set.
    """
    sets = by_set(results, which).values()
    return in_every_cell(*(at_common_error(students[1], students[wide or max(students)]) for students in sets))


def widest_no_worse(results: Results) -> Effect:
    """log ratio of the test errors of m = 10 and of the largest m at the same training error, in every set.

    Raises LacksDataError if no set has a larger m.
    """
    sets = [students for students in by_set(results).values() if max(students) > WIDE]
    return in_every_cell(*(at_common_error(students[WIDE], students[max(students)]) for students in sets))


def equal_steps(results: Results) -> Effect:
    """log ratio of the test errors of m = 1 and m = 10 at the last epoch of both, in every set."""
    return in_every_cell(*(ratio_at_end(students) for students in by_set(results).values()))


def ratio_at_end(students: Mapping[int, pd.DataFrame]) -> pd.Series:
    """log ratio of the test errors of m = 1 and m = 10 at the last epoch of both, by seed; students: by multiplier."""
    last = last_epoch(students[1], students[WIDE])
    ends = {m: -np.log(at(students[m], last)["test_error"]) for m in (1, WIDE)}
    return difference(ends[WIDE], ends[1])


def no_overfit(results: Results, least: int = WIDE, which: Variants = EVERY) -> Effect:
    """log of the lowest test error of any epoch minus that of the last epoch, in every set and multiplier.

    least: the smallest multiplier that counts. Raises LacksDataError if no multiplier does.
    """
    cells = []
    for students in by_set(results, which).values():
        for m, errors in students.items():
            if m >= least:
                table = np.log(errors["test_error"]).unstack("epoch")
                cells.append(table.min(axis=1, skipna=False) - table.iloc[:, -1])
    return in_every_cell(*cells)


def noisy(share: float) -> Variants:
    """Students of targets with noise, a share of the outputs' spread."""
    return Variants(f"noise {share:.0%}", lambda run: run.settings.data.finite.noise == share)


NOISY = Variants("with noise", lambda run: run.settings.data.finite.noise is not None)
ONE, TEN = multiplier(1), multiplier(WIDE)
CLAIM = "generalization"

EVIDENCE = [
    evidence(CLAIM, "right-size-worse", "generalization", right_size_worse, needs=(ONE, TEN)),
    evidence(CLAIM, "no-overfit", "generalization", no_overfit, needs=(TEN,)),
    evidence(CLAIM, "widest-no-worse", "generalization", widest_no_worse, needs=(TEN, multiplier(20))),
    evidence(CLAIM, "equal-steps", "generalization", equal_steps, needs=(ONE, TEN)),
    evidence(CLAIM, "noise-lucky", "label-noise", head_start, which=one(noisy(1.0) & TEN)),
    evidence(CLAIM, "noise-right-size-worse", "label-noise", right_size_worse, which=NOISY, needs=(ONE, TEN)),
    evidence(CLAIM, "noise-no-overfit", "label-noise", no_overfit, which=NOISY, needs=(TEN,)),
    evidence(CLAIM, "cifar-right-size-worse", "generalization-cifar", right_size_worse, wide=None, needs=(ONE,)),
    evidence(CLAIM, "cifar-no-overfit", "generalization-cifar", no_overfit, least=2, needs=(multiplier(2),)),
]
