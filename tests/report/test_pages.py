"""All pages of a report: links, pictures and words; what stands on them; how they are written."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import website
from conftest import ROOT

from luckmatters import artefacts, ledger
from luckmatters.cli import main
from luckmatters.config import Project
from luckmatters.report import claim, experiment, gather, pages, pictures
from luckmatters.report.gather import Material, by_source
from luckmatters.reports import complete
from luckmatters.settings.claims import Verdict

LAPTOP = Project(ROOT, scale="laptop")


def text(path: Path) -> str:
    """The words of a page, in one line."""
    found = website.Page(path.read_text(encoding="utf-8"))
    return " ".join("".join(words for around, words in found.text if "script" not in around).split())


def test_links_lead_somewhere_and_pictures_have_words(report: tuple[Path, Material]) -> None:
    assert website.faults(report[0]) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('href="claims/recovery.html"', 'href="claims/recovry.html"', "claims/recovry.html leads nowhere"),
        ('href="index.html#claims"', 'href="index.html#clams"', "index.html#clams: there is no such place"),
        ("<h2 id=", "<h4 id=", "headings are not in order"),
        ('alt="Small picture of', 'data-alt="Small picture of', "has no words"),
        ("</main>", "</div>", "closes nothing"),
    ],
)
def test_the_checks_find_faults(report: tuple[Path, Material], tmp_path: Path, old: str, new: str, fault: str) -> None:
    content = (report[0] / "index.html").read_text(encoding="utf-8")
    assert old in content
    (tmp_path / "index.html").write_text(content.replace(old, new), encoding="utf-8")
    assert any(fault in line for line in website.faults(tmp_path))


def test_every_claim_and_experiment_has_a_page(report: tuple[Path, Material]) -> None:
    names = {"index.html", "index.zh.html"}
    names |= {f"claims/{name}.html" for name in LAPTOP.claims}
    names |= {f"experiments/{name}.html" for name in LAPTOP.experiments}
    assert website.pages(report[0]).keys() == names


@pytest.mark.parametrize("name", ["index.html", "index.zh.html"])
def test_the_front_page_has_every_verdict_at_every_scale(report: tuple[Path, Material], name: str) -> None:
    folder, material = report
    content = (folder / name).read_text(encoding="utf-8")
    for claim_name in LAPTOP.claims:
        (row,) = re.findall(rf'<tr class="claim [^>]*>(?:(?!</tr>).)*claims/{claim_name}\.html.*?</tr>', content, re.S)
        badges = re.findall(r'class="badge ([\w-]+)"', row)
        assert badges == [pages.words.slug(judged[claim_name].verdict) for judged in material.ledgers.values()]
        shown = [j[claim_name].effects for j in material.ledgers.values()]
        core = LAPTOP.claims[claim_name].core
        assert row.count('<svg class="strip') == sum(key in effects for effects in shown for key in core)


def test_the_front_page_counts_and_filters_by_the_verdict_of_its_scale(report: tuple[Path, Material]) -> None:
    content = (report[0] / "index.html").read_text(encoding="utf-8")
    filters = dict(re.findall(r'id="show-([\w-]+)" checked[^>]*> <b>(\d+)</b>', content))
    verdicts = [j.verdict for j in report[1].ledgers["paper"].values()]
    assert {name: int(n) for name, n in filters.items()} == {
        pages.words.slug(verdict): verdicts.count(verdict) for verdict in get_args(Verdict) if verdict in verdicts
    }


def test_claims_are_grouped_by_their_source(report: tuple[Path, Material]) -> None:
    groups = by_source(report[1].ledgers["laptop"].values())
    assert next(iter(groups)) == gather.PAPER
    assert "pandoras-box" in {j.name for j in groups["Beyond the paper: sentences of the article"]}
    assert sum(map(len, groups.values())) == len(LAPTOP.claims)


def test_what_is_not_translated_says_that_it_is_english(report: tuple[Path, Material], monkeypatch) -> None:
    sentence = LAPTOP.claims["recovery"].statement
    known = {text: words for text, words in pages.words.catalogue("zh").items() if text != sentence}
    monkeypatch.setattr(pages.words, "catalogue", lambda language: known if language == "zh" else {})
    content = pages.pages(report[1])["index.zh.html"].decode()
    assert f'<p lang="en">{sentence}</p>' in content
    assert pages.words.catalogue("zh")[LAPTOP.claims["low-first"].statement] in content


def test_a_claim_page_has_every_check_with_its_reason_and_amendments(report: tuple[Path, Material]) -> None:
    for name, entry in LAPTOP.claims.items():
        words = text(report[0] / "claims" / f"{name}.html").replace("`", "")
        for key, check in entry.checks.items():
            asked = [check.statement, check.reason, *(ledger.amendment_text(change) for change in check.amended)]
            assert all(" ".join(one.replace("`", "").split()) in words for one in asked), (name, key)
        for one in entry.experiments:
            noted = LAPTOP.experiments[one]
            assert all(" ".join(line.replace("`", "").split()) in words for line in [*noted.known, *noted.chosen])


def test_texts_of_results_are_no_markup(report: tuple[Path, Material]) -> None:
    name = next(name for name, j in report[1].ledgers["laptop"].items() if j.note)
    assert "why | &lt;b&gt;not&lt;/b&gt;" in (report[0] / "claims" / f"{name}.html").read_text(encoding="utf-8")


def test_a_missing_figure_is_named_with_the_command_that_draws_it(report: tuple[Path, Material]) -> None:
    words = text(report[0] / "experiments" / "gaus-fc.html")
    assert "No figure of this experiment is drawn at this scale" in words
    assert (
        "snakemake --cores 2 --config scale=paper kept=use -- figures/paper/gaus-fc.png figures/paper/gaus-fc.csv"
        in words
    )
    assert "There are no results of this experiment at this scale." in words


def test_a_drawing_is_shown_where_there_is_one_and_it_is_small(report: tuple[Path, Material], monkeypatch) -> None:
    folder, material = report
    short = website.DRAWING.replace("0.123456", "0.12").replace("<metadata><a>b</a></metadata>", "")
    assert (folder / "figures" / "two-nodes.svg").read_text() == short
    assert (folder / "figures" / "decision-lines.png").exists()
    assert (folder / "figures" / "decision-lines.gif").read_bytes() == b"GIF89a"
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    assert pictures.of(material.project, "two-nodes").large == "figures/two-nodes.png"
    assert pictures.of(material.project, "gaus-fc") is None


def test_downloads_are_the_summaries(report: tuple[Path, Material]) -> None:
    folder, material = report
    assert {path.stem for path in (folder / "data").iterdir()} == {*material.results} == {*website.SHOWN}
    assert (folder / "data" / "two-nodes.csv").read_bytes() == pages.csv(material.summaries["two-nodes"])


def test_only_an_experiment_with_curves_has_an_explorer(report: tuple[Path, Material]) -> None:
    found = website.pages(report[0])
    assert {name.split("/")[1] for name, page in found.items() if page.all("script")} == {
        "decision-lines.html", "fan-out-two-hidden.html",
    }  # fmt: skip


# --- what pages say of claims ----------------------------------------------------------------------------------------


def test_the_code_on_a_page_of_a_claim_recomputes_the_check(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """With kept results of the published settings, which every checkout has."""
    project = Project(ROOT, scale="paper")
    judgement = ledger.judge_all(project, complete(project, ["fan-out-one-hidden"]))[
        [*project.claims].index("fan-out-vanishes")
    ]
    shown = Material(project, {}, {}, {"paper": {judgement.name: judgement}})
    monkeypatch.chdir(ROOT)
    exec(claim.snippet(shown, judgement), {})
    assert capsys.readouterr().out.strip() == str(judgement.effects[judgement.claim.core[0]][0])


@pytest.mark.parametrize(
    ("effect", "outcome", "words"),
    [
        ((0.3, 0.25, 0.4), ledger.SUPPORTS, "The lower limit is 0.25 above that."),
        ((-0.3, -0.4, -0.1), ledger.CONTRADICTS, "the upper limit is 0.1 short of that value."),
        ((0.1, -0.1, 0.3), ledger.UNDECIDED, "would support the claim if the whole interval lay above; 0 lies inside."),
    ],
)
def test_a_page_says_what_would_change_the_verdict(effect: tuple, outcome: str, words: str) -> None:
    found = {"grows": (ledger.Effect(*effect, 8), outcome)}
    judgement = ledger.Judgement("recovery", LAPTOP.claims["recovery"], "undecided", found)
    assert claim.if_false(judgement, "grows").endswith(words)


def test_too_few_seeds_are_named_as_the_reason() -> None:
    found = {"grows": (ledger.Effect(0.3, 0.2, 0.4, 2), ledger.UNDECIDED)}
    judgement = ledger.Judgement("recovery", LAPTOP.claims["recovery"], "undecided", found)
    assert claim.if_false(judgement, "grows").endswith("2 seeds do not decide; 3 are needed.")


# --- what pages say of experiments -----------------------------------------------------------------------------------


def test_settings_are_divided_into_shared_and_differing() -> None:
    shared, differing = experiment.settings({name: run for name, (run, _) in LAPTOP.variants("teacher-size").items()})
    assert shared["training.batch"] == "64"
    assert shared["student.multiplier"] == "10"
    assert differing["small-bn"]["student.batch_norm"] == "True"
    assert differing["large-bn"]["teacher: widths"] == "[50, 75, 100, 125]"
    assert not set(shared) & set(differing["small-bn"])


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("gaus-fc", ["generate-teacher gaus-fc-large", "train gaus-fc no-bn --seeds 0-0"]),
        ("modulation", ["generate-teacher gaus-fc-small", "train gaus-fc-small base --seeds 0-0",
                        "measure modulation base --seeds 0-0"]),
        ("cifar-fc", ["prepare-cifar10", "train-teacher cifar-fc", "train cifar-fc no-bn --seeds 0-0"]),
        ("two-nodes", ["simulate two-nodes matrix --seeds 0-0"]),
    ],
)  # fmt: skip
def test_the_commands_for_one_seed_have_all_that_the_seed_needs(name: str, steps: list[str]) -> None:
    run = next(iter(LAPTOP.own_runs(name).values()))
    assert experiment.single(LAPTOP, run) == [f"luckmatters --scale laptop {step}" for step in steps]


def test_costs_are_measured_where_jobs_are_finished_and_estimated_elsewhere(report: tuple[Path, Material]) -> None:
    rows = {row["scale"]: row for row in experiment.costs(report[1], "fan-out-one-hidden")}
    manifests = [
        json.loads(path.read_text()) for path in (ROOT / "data/kept/paper/fan-out-one-hidden").glob("*/run.json")
    ]
    jobs = [job for manifest in manifests for job in manifest["jobs"]]
    assert rows["paper"]["seconds"] == pytest.approx(sum(job["seconds"] for job in jobs))
    assert rows["paper"]["seeds"] == sum(len(job["seeds"]) for job in jobs)
    assert rows["paper"]["kept"]
    assert rows["paper"]["memory"] is None
    assert rows["paper"]["estimate"] == ""
    assert rows["ci"]["jobs"] == 0
    assert rows["ci"]["estimate"]


def test_memory_and_time_come_from_the_benchmark_of_a_job(tmp_path: Path) -> None:
    project = Project(ROOT, scale="ci", results=str(tmp_path))
    run = next(iter(project.own_runs("small-overlap").values()))
    (chunk,) = project.chunks(run)
    label = artefacts.seed_label(chunk)
    folder = artefacts.run_folder(project.results, run.experiment, run.variant, label)
    artefacts.Bundle(folder).save({"table.parquet": b"1234567890"}, {"seeds": chunk})
    path = artefacts.benchmark_file(project.results, run.experiment, run.variant, label)
    path.parent.mkdir(parents=True)
    path.write_text("s\th:m:s\tmax_rss\n12.5\t0:00:12\t431.2\n")
    (job,) = Material(project, {}, {"ci": project}, {}).jobs("ci", run)
    assert (job.seconds, job.benchmark["max_rss"], job.size, job.kept) == (12.5, 431.2, 10, False)


def test_the_code_on_a_page_of_an_experiment_reads_the_seeds(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    project = Project(ROOT, scale="paper")
    results = complete(project, ["two-nodes"])["two-nodes"]
    monkeypatch.chdir(ROOT)
    found: dict = {}
    exec(experiment.snippet(project, results), found)
    one = found["found"].loc[(0, "time_0.9")]
    rows = results.table.query("variant == 'matrix' and layer == 0 and quantity == 'time_0.9'")
    assert one["mean"] == pytest.approx(rows.groupby("seed")["value"].mean().mean())
    assert one["half"] > 0


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_verb_writes_whole_pages_with_checksums_and_removes_old_ones(
    report: tuple[Path, Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(pages, "gather", lambda project: report[1])
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "figures" / "paper" / "report" / "claims" / "old.html"
    for _ in range(2):
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("of a claim that is gone")
        assert main(["--project", str(ROOT), "--scale", "paper", "report"]) == 0
        assert not old.exists()
    assert re.search(r"wrote figures/paper/report/index.html \(\d+ files, [\d.]+ .B, in ", capsys.readouterr().out)
    bundle = artefacts.Bundle(Path("figures/paper"), "report.json")
    files = bundle.manifest("inputs", "made_with", "written_with")["files"]
    written = {path.relative_to("figures/paper").as_posix() for path in Path("figures/paper/report").rglob("*.*")}
    assert written == set(files)
    for name in files:
        assert bundle.read(name) == (report[0].parent / name).read_bytes()
