"""What the page of an experiment holds: settings, commands, costs, origin and numbers."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from luckmatters import artefacts
from luckmatters.artefacts import TABLE
from luckmatters.config import Project
from luckmatters.costs import in_words
from luckmatters.jobs.bundles import result_bundles
from luckmatters.kinds import verb
from luckmatters.report.gather import Material
from luckmatters.reports import distinct
from luckmatters.settings.experiment import Run
from luckmatters.settings.teachers import TEACHER_TEXTS
from luckmatters.tables.columns import SUMMARY_KEYS, present
from luckmatters.tables.results import Results

MOST_ROWS = 300  # of the summary, shown on a page; the download has all


# --- settings --------------------------------------------------------------------------------------------------------


def settings(runs: Mapping[str, Run]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Resolved settings: those that all variants share, and the others by variant, as dotted keys and texts."""
    flat = {variant: _settings_of(run) for variant, run in runs.items()}
    keys = list(dict.fromkeys(key for keys in flat.values() for key in keys))
    shared = [key for key in keys if len({keys_of.get(key) for keys_of in flat.values()}) == 1]
    first = next(iter(flat.values()))
    rest = [key for key in keys if key not in shared]
    return {key: first[key] for key in shared}, {
        variant: {key: keys_of.get(key, "–") for key in rest} for variant, keys_of in flat.items() if rest
    }


def _settings_of(run: Run) -> dict[str, str]:
    """All settings behind a run: its own, those of the run that it measures, and those of the teacher."""
    parts = {"": run.settings, "source: ": run.source and run.source.settings, "teacher: ": run.teacher}
    return {
        f"{name}{key}": text
        for name, part in parts.items()
        if part
        for key, text in _flat(part.model_dump(mode="json", exclude_none=True, exclude=TEACHER_TEXTS)).items()
    } | {"seeds": artefacts.seed_label(run.seeds)}


def _flat(content: Mapping, prefix: str = "") -> dict[str, str]:
    flat = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = f"{value:,}" if type(value) is int else str(value)
    return flat


# --- commands --------------------------------------------------------------------------------------------------------


def whole(project: Project, name: str) -> str:
    """The command that makes an experiment's figure and summary at a scale, and all that they need."""
    kept = " kept=use" * (project.scale.kept_default == "only")
    targets = artefacts.figure_files(_home(project), name)["png"], artefacts.summary_files(_home(project), name)["csv"]
    return f"snakemake --cores 2 --config scale={project.scale_name}{kept} -- {' '.join(map(str, targets))}"


def single(project: Project, run: Run) -> list[str]:
    """The commands that compute the first seed of a run alone, and all that this seed needs."""
    start, seeds, steps = f"luckmatters --scale {project.scale_name}", artefacts.seed_label(run.seeds[:1]), []
    images = run.teacher and (run.teacher.init == "trained" or run.trained.settings.data.kind == "cifar10")
    steps += ["prepare-cifar10"] if images else []
    if run.teacher:
        trained = run.teacher.init == "trained"
        steps.append(f"{'train' if trained else 'generate'}-teacher {run.trained.settings.teacher.name}")
    for step in filter(None, (run.source, run)):
        steps.append(f"{verb(step)} {step.experiment} {step.variant} --seeds {seeds}")
    return [f"{start} {step}" for step in steps]


def _home(project: Project) -> Path:
    """Folder of a scale's figures by default; the report does not name the folders of the machine that wrote it."""
    return Path("figures") / project.scale_name


def table_path(project: Project, run: Run) -> Path:
    """The first table with the numbers of a run's seeds, relative to the root of the checkout."""
    bundle, seeds = result_bundles(project, run)[0]
    if bundle.kept:
        return artefacts.kept_folder(Path(), run.scale, run.experiment, run.variant) / TABLE
    home = Path("results") / project.scale_name
    return artefacts.run_folder(home, run.experiment, run.variant, artefacts.seed_label(seeds)) / TABLE


# --- costs -----------------------------------------------------------------------------------------------------------


def costs(material: Material, name: str) -> list[dict]:
    """What an experiment's own runs take at each scale: a row a scale.

    Measured, None where not recorded: jobs, seeds, seconds, memory (bytes, the most of a job), disk (bytes), and
    whether results are kept, whose bytes these are. Estimate: text on the seeds that no job has computed, or empty.
    """
    rows = []
    for scale, project in material.scales.items():
        jobs, rest = [], []
        for run in project.own_runs(name).values():
            done = material.jobs(scale, run)
            seeds = {seed for job in done for seed in job.manifest["seeds"]}
            jobs += done
            rest += [run.model_copy(update={"seeds": [seed for seed in run.seeds if seed not in seeds]})]
        rest = [run for run in rest if run.seeds]
        times = [job.seconds for job in jobs]
        peaks = [job.benchmark["max_rss"] * 2**20 for job in jobs if "max_rss" in job.benchmark]
        rows.append({
            "scale": scale, "jobs": len(jobs), "seeds": sum(len(job.manifest["seeds"]) for job in jobs),
            "seconds": sum(times) if times and None not in times else None,
            "memory": max(peaks) if peaks and len(peaks) == len(jobs) else None,
            "disk": sum(job.size for job in jobs), "kept": any(job.kept for job in jobs),
            "estimate": in_words(rest) if rest else "", "reduced": project.reduced(name).get(name, ""),
        })  # fmt: skip
    return rows


# --- origin and numbers ----------------------------------------------------------------------------------------------


def origins(material: Material, results: Results) -> list[dict]:
    """Where the numbers of each variant come from: run, seeds, and how many jobs were kept or computed."""
    rows = []
    for variant, run in results.runs.items():
        jobs = material.jobs(material.project.scale_name, run)
        rows.append({
            "variant": variant, "run": f"{run.experiment}/{run.variant}", "seeds": artefacts.seed_label(run.seeds),
            "kept": sum(job.kept for job in jobs), "computed": sum(not job.kept for job in jobs),
            "diverged": results.diverged.get(variant, 0),
        })  # fmt: skip
    return rows


def made_with(results: Results) -> list[dict[str, str]]:
    """Each combination of code, libraries and machine behind the numbers, as texts."""
    rows = []
    for entry in distinct(manifest for _, manifest in results.manifests):
        libraries = ", ".join(f"{name} {version}" for name, version in entry.pop("libraries").items())
        code = entry.pop("code")
        texts = {"commit": code["commit"], "libraries": libraries}
        rows.append(texts | {key: str(value) for key, value in entry.items() if value is not None})
    return rows


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """A summary's rows of each variant's last epoch, at most MOST_ROWS."""
    if "epoch" in table:
        table = table[table["epoch"] == table.groupby("variant")["epoch"].transform("max")]
    return table[[*present(SUMMARY_KEYS, table), "mean", "std", "seeds"]].head(MOST_ROWS)


def columns(results: Results) -> list[str]:
    """The columns of the tables of single seeds; the report adds the variant and the labels."""
    added = {"variant", *(axis for labels in results.labels.values() for axis in labels)}
    return [column for column in results.table if column not in added]


def snippet(project: Project, results: Results) -> str:
    """Python that computes means over seeds with intervals from the table of the first variant."""
    names = [key for key in present(SUMMARY_KEYS, results.table) if key not in ("variant", "epoch")]
    keys = ", ".join(f'"{key}"' for key in names)
    last = ['table = table[table["epoch"] == table["epoch"].max()]'] if "epoch" in results.table else []
    return "\n".join([
        "import pandas as pd",
        "from scipy import stats",
        "",
        f'table = pd.read_parquet("{table_path(project, next(iter(results.runs.values())))}")',
        *last,
        f'seeds = table.groupby([{keys}, "seed"], dropna=False)["value"].mean()',
        f'found = seeds.groupby([{keys}], dropna=False).agg(["mean", "sem", "count"])',
        'found["half"] = found["sem"] * stats.t.ppf(0.975, found["count"] - 1)',
        "print(found)",
    ])  # fmt: skip


def data(results: Results) -> str:
    """What the numbers were measured on."""
    return "; ".join(dict.fromkeys(manifest["data"] for _, manifest in results.manifests))


def claims_of(project: Project, name: str) -> list[str]:
    """The claims that are judged from an experiment."""
    return [claim for claim, entry in project.claims.items() if name in entry.experiments]
