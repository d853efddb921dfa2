"""Paths of all artefacts, and bundles: files written whole or not at all, and checked when read.

A bundle is a set of files with a manifest (JSON) of sha256 sums and provenance. Each file is written under a temporary
name and renamed, the manifest last. A file that does not match the manifest is refused, and so is a manifest that does
not match its own checksum.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luckmatters.errors import UserError

TABLE, TENSORS, MANIFEST = "table.parquet", "tensors.safetensors", "run.json"
SUPERSEDED = "data/kept/superseded.yaml"


# --- paths: a function for each artefact -----------------------------------------------------------------------------


def teacher_folder(results: Path, teacher: str) -> Path:
    """Folder of the bundle of a teacher's networks."""
    return results / "teachers" / teacher


def cifar10_folder(results: Path) -> Path:
    """Folder of the bundle of the decoded images."""
    return results / "datasets" / "cifar10"


def pretrained_folders(root: Path, model: str) -> list[Path]:
    """Folders that may hold a pretrained network's BatchNorm: committed with the project, or left by an earlier run."""
    return [root / "data" / "reference" / "pretrained" / model, Path("data") / "downloads" / "pretrained" / model]


def published_norms(root: Path) -> list[Path]:
    """Files of published numbers on the BatchNorm of pretrained networks."""
    names = ("pretrained-bias-shares.csv", "pretrained-norm-moments.csv")
    return [published_file(root, name) for name in names]


def run_folder(results: Path, experiment: str, variant: str, seeds: str) -> Path:
    """Folder of a job's bundle: a variant of an experiment for some seeds, written as by :func:`seed_label`."""
    return results / experiment / variant / f"seeds-{seeds}"


def kept_folder(root: Path, *names: str) -> Path:
    """Folder of kept results; names: scale, experiment and variant, or the first of them."""
    return (root / "data" / "kept").joinpath(*names)


def bundle_files(folder: Path) -> dict[str, Path]:
    """Files that a bundle of a teacher, of images or of a job may hold. Some bundles lack a table or tensors."""
    return {"table": folder / TABLE, "tensors": folder / TENSORS, "manifest": folder / MANIFEST}


def summary_files(figures: Path, experiment: str) -> dict[str, Path]:
    """Files of an experiment's summary (mean, spread and seeds of every quantity) and of the provenance."""
    return {"csv": figures / f"{experiment}.csv", "json": figures / f"{experiment}.csv.json"}


def figure_files(figures: Path, experiment: str) -> dict[str, Path]:
    """Files of a rendered figure, by format, and of the provenance."""
    return {kind: figures / f"{experiment}.{kind}" for kind in ("pdf", "png", "svg", "json")}


def animation_files(figures: Path, experiment: str) -> dict[str, Path]:
    """Files of an experiment's animation and of the provenance."""
    return {"gif": figures / f"{experiment}.gif", "json": figures / f"{experiment}.gif.json"}


def claims_files(figures: Path) -> dict[str, Path]:
    """Files of the ledger of verdicts, by format, and of the provenance."""
    return {kind: figures / f"claims.{kind}" for kind in ("md", "csv", "json")}


def report_files(figures: Path) -> dict[str, Path]:
    """Front page of the report, which stands in a folder with all other pages, and the provenance."""
    return {"front": figures / "report" / "index.html", "json": figures / "report.json"}


def benchmark_file(results: Path, experiment: str, variant: str, seeds: str) -> Path:
    """File of a job's seconds and memory, written by Snakemake."""
    return results / "benchmarks" / experiment / variant / f"seeds-{seeds}.tsv"


def published_file(root: Path, name: str) -> Path:
    """File of curves that the authors published."""
    return root / "data" / "published" / name


def comparison_files(figures: Path) -> dict[str, Path]:
    """Files of the comparison with published curves: points, summary, picture, by name, and of the provenance."""
    ends = {"points": ".csv", "summary": "-summary.csv", "pdf": ".pdf", "png": ".png", "json": ".json"}
    return {name: figures / f"published{end}" for name, end in ends.items()}


def reference_folder(scale: str) -> Path:
    """Folder of a scale's committed results."""
    return Path("data") / "reference" / scale


def reference_file(scale: str, experiment: str) -> Path:
    """File of an experiment's committed summary; ``claims`` names the committed ledger."""
    return reference_folder(scale) / f"{experiment}.csv"


def teacher_reference_file(scale: str, teacher: str) -> Path:
    """File of the committed table of a teacher's training. Networks and provenance lie beside the table."""
    return reference_folder(scale) / "teachers" / f"{teacher}.csv"


def seed_label(seeds: Sequence[int]) -> str:
    """Seeds as text in paths and on the command line: ``0-3`` if consecutive, else ``0+3+7``."""
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return "+".join(map(str, seeds))


def parse_seeds(label: str) -> list[int]:
    """Seeds in a text by :func:`seed_label`. Raises UserError for any other text."""
    if match := re.fullmatch(r"(\d+)-(\d+)", label):
        first, last = map(int, match.groups())
        if first <= last:
            return list(range(first, last + 1))
    elif re.fullmatch(r"\d+(\+\d+)*", label):
        seeds = [int(seed) for seed in label.split("+")]
        if len(set(seeds)) == len(seeds):
            return seeds
    raise UserError(f"--seeds {label}: must be a range like 0-3, or seeds joined by +, like 0+3+7, all different")


# --- writing and reading ---------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises UserError if the path cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); make the folder writable, free some space, or set another "
            "one under `results` or `figures` in config/config.yaml"
        ) from None


def sha256(content: bytes) -> str:
    """SHA-256 of the content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


class AlteredError(UserError):
    """A file differs from what was written."""


@dataclass(frozen=True)
class Bundle:
    """Files in a folder with one manifest.

    recipe: how to make the files, for error messages;
    kept: whether the manifest is committed, and therefore may lack a checksum: git guards it.
    """

    folder: Path
    manifest_name: str = MANIFEST
    recipe: str = "run snakemake again"
    kept: bool = False

    def save(self, files: Mapping[str, bytes], manifest: Mapping) -> None:
        """Write the files, then the manifest with all checksums. Raises UserError if a file cannot be written."""
        for name, content in files.items():
            write(self.folder / name, content)
        sums = {name: sha256(content) for name, content in files.items()}
        fields = json.loads(json.dumps({**manifest, "files": sums}))  # as they are read back: all keys are texts
        sealed = {**fields, "checksum": _checksum(fields)}
        text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False)
        write(self.folder / self.manifest_name, text.encode())

    def manifest(self, *keys: str) -> dict:
        """Fields of the manifest, without the checksum; keys: of fields that must be there.

        Raises UserError if the manifest is missing or damaged.
        """
        path = self.folder / self.manifest_name
        try:
            fields = json.loads(path.read_bytes())
            recorded = fields.pop("checksum", None)
            intact = recorded == _checksum(fields) or (self.kept and recorded is None)
            intact = intact and isinstance(fields["files"], dict) and fields.keys() >= set(keys)
        except FileNotFoundError:
            raise UserError(f"{path}: is missing; {self.recipe}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            intact = False
        if not intact:
            raise UserError(f"{path}: is damaged; {self._remedy()}")
        return fields

    def read(self, name: str) -> bytes:
        """Content of a file. Raises UserError if the file is missing, AlteredError if it is truncated or altered."""
        path, expected = self.folder / name, self.manifest()["files"].get(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); {self._remedy()}") from None
        if sha256(content) != expected:
            raise AlteredError(
                f"{path}: is truncated or altered (its checksum is not the recorded one); {self._remedy()}"
            )
        return content

    def _remedy(self) -> str:
        if self.kept:
            return f"git restore {self.folder}, or {self.recipe}"
        place = self.folder if self.manifest_name == MANIFEST else self.folder / self.manifest_name
        return f"delete {place}; {self.recipe}"


def _checksum(fields: dict) -> str:
    """SHA-256 of a manifest's fields, apart from the checksum itself, in canonical JSON."""
    return sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
