"""What the report shows: results of the scale in force, verdicts at every scale, and comparisons with the paper."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from luckmatters import artefacts, comparison
from luckmatters.config import Project
from luckmatters.findings import Kept, read
from luckmatters.jobs.bundles import result_bundles
from luckmatters.judging.summaries import summary_table
from luckmatters.ledger import Judgement, judge_all
from luckmatters.reading import manifests_of
from luckmatters.reports import complete
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

# Headings over claims, by the words with which their source begins; all other claims are those of the paper.
PAPER = "Claims of the paper"
BEYOND = {
    "the first author's article": "Beyond the paper: sentences of the article",
    "the authors' notes": "Beyond the paper: the authors' notes",
}


@dataclass(frozen=True)
class Job:
    """A finished job of a run: its manifest, the bytes of its files, and Snakemake's benchmark, if there is one.

    kept: whether the result was taken from data/kept.
    """

    manifest: dict
    size: int
    kept: bool
    benchmark: dict

    @property
    def seconds(self) -> float | None:
        """Wall-clock seconds: of the training, over all its resumptions, else of the whole job."""
        return self.manifest.get("seconds", self.benchmark.get("s"))


@dataclass(frozen=True)
class Material:
    """All that pages are made of.

    project: the scale in force. results: its complete experiments, by name.
    scales: projects of all scales, by name, published settings first, then those that judge claims; other scales than
    that in force show kept results alone.
    ledgers: scale → claim → judgement, published settings first, for the scale in force and all that judge a claim.
    """

    project: Project
    results: dict[str, Results]
    scales: dict[str, Project]
    ledgers: dict[str, dict[str, Judgement]]

    @cached_property
    def summaries(self) -> dict[str, pd.DataFrame]:
        """The summary of each complete experiment, with published levels."""
        return {name: summary_table(results) for name, results in self.results.items()}

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row for each published curve beside ours, see :func:`comparison.summarize`."""
        names = [name for name in self.project.compared_experiments if name in self.summaries]
        table = comparison.compare(self.project, {name: self.summaries[name] for name in names})
        return table if table.empty else comparison.summarize(self.project, table)

    def judgement(self, claim: str) -> Judgement:
        """Judgement of a claim at the scale in force."""
        return self.ledgers[self.project.scale_name][claim]

    def jobs(self, scale: str, run: Run) -> list[Job]:
        """The finished jobs of a run at a scale. Results that are not there are left out."""
        project, jobs = self.scales[scale], []
        for bundle, seeds in result_bundles(project, run):
            if (bundle.folder / bundle.manifest_name).exists():
                manifest = bundle.manifest()
                size = sum((bundle.folder / name).stat().st_size for name in manifest["files"])
                parts = [part for part in manifests_of(manifest) if set(part["seeds"]) & set(seeds)]
                jobs += [Job(part, size // len(parts), bundle.kept, _benchmark(project, run, part)) for part in parts]
        return jobs


def gather(project: Project) -> Material:
    """What the report of the scale in force shows. Raises UserError if a result is damaged."""
    results = complete(project, project.experiments)
    judges = {scale for claim in project.claims.values() for scale in claim.scales}

    def order(name: str) -> tuple[bool, bool, str]:
        return project.scales[name].kept_default != "only", name not in judges, name

    scales = {
        name: project if name == project.scale_name else Project(project.root, scale=name, kept="only")
        for name in sorted(project.scales, key=order)
    }
    claimed = {name: results[name] for name in project.claimed_experiments if name in results}
    own = Kept(project, judge_all(project, claimed), {}, {})
    shown = [scale for name, scale in scales.items() if name in judges or scale is project]
    sides = [own if scale is project else read(scale) for scale in shown]
    ledgers = {side.project.scale_name: {j.name: j for j in side.ledger} for side in sides}
    return Material(project, results, scales, ledgers)


def by_source(judgements: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    """Judgements by the heading that they stand under, the paper's first."""
    found: dict = {heading: [] for heading in (PAPER, *BEYOND.values())}
    for judgement in judgements:
        headings = [text for start, text in BEYOND.items() if judgement.claim.source.startswith(start)]
        found[headings[0] if headings else PAPER].append(judgement)
    return {heading: claims for heading, claims in found.items() if claims}


def _benchmark(project: Project, run: Run, manifest: dict) -> dict:
    """Columns of Snakemake's benchmark of a job; empty if the job ran without Snakemake, or elsewhere."""
    label = artefacts.seed_label(manifest["seeds"])
    path = artefacts.benchmark_file(project.results, run.experiment, run.variant, label)
    return pd.read_csv(path, sep="\t").iloc[0].to_dict() if path.exists() else {}
