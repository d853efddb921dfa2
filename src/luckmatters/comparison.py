"""All published curves beside ours, with the cause of each departure."""

import io
from collections.abc import Mapping

import pandas as pd

from luckmatters import artefacts
from luckmatters.artefacts import TABLE
from luckmatters.config import Project
from luckmatters.judging.published import compared, curve_summary
from luckmatters.judging.summaries import over_seeds
from luckmatters.settings.experiment import Run

USUAL = 0.95  # share of points within two standard errors if chance alone made them differ; fewer: the curve departs
UNEXPLAINED, UNKNOWN = "not explained yet", " (how far teachers differ is not known)"


def compare(project: Project, summaries: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The published levels of all experiments beside our means: columns of :func:`compared`, file, experiment, variant.

    summaries: the summary tables of experiments that have published curves. A run that several experiments show beside
    the same file has its rows once, under the name of the experiment that computes it. The table is empty without
    published curves.
    """
    pairs: dict[tuple[str, str, str], pd.DataFrame] = {}
    for name, table in summaries.items():
        for variant, file in project.experiment(name).figure.published.items():
            run, _ = project.variants(name)[variant]
            if variant in set(table["variant"]) and (file, run.experiment, run.variant) not in pairs:
                source = project.published[file]
                ours = table[table["variant"] == variant]
                if source.samples:
                    epochs = ours["epoch"] * run.trained.settings.data.samples_per_epoch / source.samples
                    ours = ours.assign(epoch=epochs)
                theirs = pd.read_csv(artefacts.published_file(project.root, file))
                rows = compared(ours, theirs, source, own_teachers=has_own(run), spread=spread(project, file))
                pairs[file, run.experiment, run.variant] = rows
    if not pairs:
        return pd.DataFrame()
    found = pd.concat(pairs, names=["file", "experiment", "variant", "row"])
    return found.droplevel("row").reset_index()


def has_own(run: Run) -> bool:
    """Whether each seed of a run has its own teacher."""
    return run.teacher is None or run.trained.settings.teacher.seed == "own"


def spread(project: Project, file: str) -> pd.DataFrame | None:
    """The summary of the run that measures how far teachers differ, for a file of data/published; None: not kept."""
    kept = project.kept_spreads.get(file)
    return kept and over_seeds(pd.read_parquet(io.BytesIO(kept.bundle.read(TABLE))))


def summarize(project: Project, table: pd.DataFrame) -> pd.DataFrame:
    """A row for each curve in a table by :func:`compare`: columns of :func:`curve_summary`, and cause.

    The cause is empty for a curve that does not depart.
    """
    rows = curve_summary(table)
    return rows.assign(cause=[cause(project, row) for row in rows.itertuples()])


def cause(project: Project, row) -> str:
    """The cause of a curve's departure in words; empty if at least the usual share of points is within two units."""
    if not row.within < USUAL:
        return ""
    found = project.published[row.file].causes.get(f"{row.experiment}/{row.variant}", {}).get(row.quantity)
    return f"{found.cause}: {found.why}" if found else UNEXPLAINED + UNKNOWN * (row.teachers == "unknown")
