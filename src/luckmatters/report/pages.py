"""The report's files: templates filled with what was gathered, pictures and downloads, written as one whole."""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import get_args

import jinja2
from matplotlib.colors import to_hex

from luckmatters import artefacts, ledger
from luckmatters.config import Project
from luckmatters.drawing.style import LAYER_COLORS, NETWORK_COLOR
from luckmatters.judging.summaries import csv
from luckmatters.provenance import provenance
from luckmatters.report import claim, experiment, explorer, forest, pictures, words
from luckmatters.report.gather import Material, by_source, gather
from luckmatters.reports import made_from
from luckmatters.settings.claims import Verdict

TEMPLATES = Path(__file__).parent / "templates"
FILTERS = ("number", "cell", "percent", "inline", "size", "duration", "slug")  # functions of `words`
LANGUAGES = {"en": ("English", "index.html"), "zh": ("中文", "index.zh.html")}  # language → name, front page


def write(project: Project) -> tuple[Path, str]:
    """Write the report of the scale in force; returns the path of the front page, and size and time in words."""
    start = time.monotonic()
    files, home = pages(material := gather(project)), artefacts.report_files(project.figures)
    shutil.rmtree(home["front"].parent, ignore_errors=True)  # pages of claims that are no longer there
    origin = made_from(project, material.results) | {"written_with": provenance()}
    named = {f"{home['front'].parent.name}/{name}": content for name, content in files.items()}
    artefacts.Bundle(home["json"].parent, home["json"].name).save(named, origin)
    total = sum(map(len, files.values()))
    return home["front"], f"{len(files)} files, {words.size(total)}, in {words.duration(time.monotonic() - start)}"


def pages(material: Material) -> dict[str, bytes]:
    """All files of the report, by name below its folder."""
    shown = {name: pictures.of(material.project, name) for name in material.project.experiments}
    fill = partial(_filled, _environment(material, shown))
    files = {name: (TEMPLATES / name).read_bytes() for name in ("style.css", "explorer.js")}
    for language, (_, name) in LANGUAGES.items():
        files[name] = fill("front.html", language=language, root="")
    for name, entry in material.project.claims.items():
        files[f"claims/{name}.html"] = fill("claim.html", root="../", name=name, claim=entry)
    for name, entry in material.project.experiments.items():
        results = material.results.get(name)
        data = explorer.curves(results) if results else None
        files[f"experiments/{name}.html"] = fill(
            "experiment.html", root="../", name=name, experiment=entry, results=results, curves=data
        )
        files |= {file: content for picture in [shown[name]] if picture for file, content in picture.files.items()}
        if results:
            files[f"data/{name}.csv"] = csv(material.summaries[name])
    return files


def _filled(environment: jinja2.Environment, template: str, *, language: str = "en", **context: object) -> bytes:
    """A template filled; sentences of pages in English, or in another language where they are translated."""
    sentences = words.catalogue(language)
    context |= {"language": language, "t": lambda text: sentences.get(text, text)}
    context["translated"] = lambda text: language == "en" or text in sentences
    return environment.get_template(template).render(context).encode()


def _environment(material: Material, shown: dict[str, pictures.Picture | None]) -> jinja2.Environment:
    """Templates with what all pages use. An unknown name in a template is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {name: getattr(words, name) for name in FILTERS}
    environment.filters["json"] = explorer.to_json
    colors = [to_hex(color) for color in LAYER_COLORS]
    environment.globals |= {
        "material": material, "project": material.project, "pictures": shown, "verdicts": get_args(Verdict),
        "ledger": ledger, "by_source": by_source, "forest": forest, "of_claim": claim, "of_experiment": experiment,
        "languages": LANGUAGES,
        "colors": {"layers": colors, "network": to_hex(NETWORK_COLOR)},
    }  # fmt: skip
    return environment
