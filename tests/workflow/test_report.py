"""The report of a finished run, and the commands that its pages name."""

import pandas as pd
import pytest
import website
from conftest import ROOT, Checkout

from luckmatters.artefacts import Bundle, report_files, run_folder
from luckmatters.config import Project
from luckmatters.kinds import verb
from luckmatters.report.experiment import single

CI = Project(ROOT, scale="ci")
# An experiment for each verb. Pretrained networks need their weights elsewhere, published numbers at this scale.
OF_VERBS = {verb(run): run for name in CI.experiments for run in CI.own_runs(name).values()}


def test_the_report_of_a_finished_run_is_whole(finished: Checkout) -> None:
    """All files as recorded, all links and pictures there, every experiment with figure and numbers, and small."""
    home = report_files(finished.folder / "figures" / "ci")
    bundle = Bundle(home["json"].parent, home["json"].name)
    sizes = [len(bundle.read(name)) for name in bundle.manifest()["files"]]
    assert sum(sizes) < 25e6
    folder = home["front"].parent
    assert website.faults(folder) == []
    for name in CI.experiments:
        content = (folder / "experiments" / f"{name}.html").read_text(encoding="utf-8")
        assert f'<img src="../figures/{name}.' in content
        assert "There are no results" not in content
        assert (folder / "data" / f"{name}.csv").read_bytes() == (home["json"].parent / f"{name}.csv").read_bytes()


def test_the_report_has_the_time_and_memory_of_jobs(finished: Checkout) -> None:
    """Of a job that trains, and of a job that measures, whose seconds Snakemake alone records."""
    for name in ("gaus-fc", "modulation"):
        page = report_files(finished.folder / "figures" / "ci")["front"].parent / "experiments" / f"{name}.html"
        (row,) = [line for line in page.read_text().splitlines() if '<tr><th scope="row"><code>ci</code>' in line]
        cells = page.read_text().split(row)[1].splitlines()[1]
        assert " seconds</td><td>" in cells
        assert " MB</td>" in cells
        assert "not recorded" not in cells


@pytest.mark.parametrize("step", OF_VERBS)
def test_the_commands_for_one_seed_run_in_a_fresh_checkout(step: str, checkout: Checkout) -> None:
    run = OF_VERBS[step]
    for command in single(CI, run):
        checkout.run(*command.split())
    label = single(CI, run)[-1].rpartition(" ")[2]
    table = pd.read_parquet(
        checkout.folder / run_folder(CI.results, run.experiment, run.variant, label) / "table.parquet"
    )
    assert set(table["seed"]) == {run.seeds[0]}
