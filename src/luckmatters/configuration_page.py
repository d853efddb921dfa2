"""The page docs/configuration.md, written from the models of settings: every key that a file in config/ may hold."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import Field
from pydantic.json_schema import models_json_schema

from luckmatters.config.files import read_yaml
from luckmatters.errors import UserError
from luckmatters.kinds import registry
from luckmatters.settings.base import NAME, RUN, Model
from luckmatters.settings.claims import Claim
from luckmatters.settings.experiment import Experiment
from luckmatters.settings.project import Scale, Settings
from luckmatters.settings.published import PublishedCurves
from luckmatters.settings.teachers import Teacher

HEAD = """# Configuration

Every key of every file in config/. Written by `luckmatters configuration` from the models in src/luckmatters; not to be
edited. Each example is the first in the files of the repository, which are read in alphabetical order.

A *name* is made of small letters, digits and hyphens. An arrow stands for a mapping: *name → text* has a text under
each name. *Settings* are any keys of the same file. A key whose default is *none* may be left out, or be `null`.
"""
TABLE = "| key | type | default | meaning | example |\n| --- | --- | --- | --- | --- |"


class Changes(Model):
    """What a teacher or an experiment changes at one scale: `reduced`, and any of its other keys.

    They are laid over the file, mapping by mapping; `null` removes a key.
    """

    reduced: str = Field(description="What the scale changes, in words.")


FILES = {
    "config/config.yaml": Settings,
    "config/scales/*.yaml": Scale,
    "config/teachers.yaml": Teacher,
    "config/claims.yaml": Claim,
    "config/published.yaml": PublishedCurves,
    "config/experiments/*.yaml": Experiment,
}
KINDS = {f"Kind `{name}`": kind.settings for name, kind in registry().items()}


def title(model: str) -> str:
    """Heading of an inner model; model: the name of the class, or a JSON reference to it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", model.rpartition("/")[2]).capitalize()
    return words.replace("Cifar10", "CIFAR-10").replace("Gaus", "GAUS")


def schemas() -> dict[str, dict]:
    """JSON schema of every model, by heading. A teacher's `reduced` is left out: the loader takes it from `scales`."""
    models = dict.fromkeys([*FILES.values(), Changes, *KINDS.values()])
    definitions = models_json_schema([(model, "validation") for model in models])[1]["$defs"]
    del definitions["Teacher"]["properties"]["reduced"]
    definitions["Teacher"]["properties"]["scales"] = definitions["Experiment"]["properties"]["scales"]
    tops = {heading: definitions[model.__name__] for heading, model in (FILES | KINDS).items()}
    return tops | {title(name): schema for name, schema in definitions.items()}


SCHEMAS = schemas()


def page(root: Path) -> str:
    """Text of the page for the checkout at root."""
    files = {path: read_yaml(path) for pattern in FILES for path in sorted(root.glob(pattern))}
    shown, seen = examples(root, files), set()
    contents = [f"- {link(heading)}" for heading in [*FILES, "Kinds"]] + [f"  - {link(heading)}" for heading in KINDS]
    lines = [HEAD, *contents, ""]
    for heading in FILES:
        lines += section(heading, 2, shown, seen)
    lines += section("Changes", 3, shown, seen)
    lines += ["## Kinds", "", "The keys that each kind adds to those of every experiment.", ""]
    for heading, (name, kind) in zip(KINDS, registry().items(), strict=True):
        layouts = [f"`{key}`{layout.single * ' (draws one variant)'}" for key, layout in kind.layouts.items()]
        experiments = [path.stem for path, content in files.items() if content.get("kind") == name]
        links = [f"[{experiment}](../config/experiments/{experiment}.yaml)" for experiment in experiments]
        about = f"Layouts of figures: {', '.join(layouts)}. Experiments: {', '.join(links)}."
        lines += section(heading, 3, shown, seen, about)
    return "\n".join(lines).rstrip() + "\n"


def section(heading: str, level: int, shown: dict, seen: set[str], *about: str) -> list[str]:
    """Lines of a model's table, then of the tables of inner models that are not in `seen`."""
    schema = SCHEMAS[heading]
    lines = ["\n\n".join(["#" * level + f" {heading}", prose(schema["description"]), *about, TABLE])]
    for key, field in schema["properties"].items():
        if "description" not in field:
            raise UserError(f"{heading}: key {key} has no description; give it one by Field(description=…)")
        default = "none" if field.get("default") is None else sample(field["default"])
        default = "required" if key in schema.get("required", []) else default
        example = sample(shown[heading, key]) if (heading, key) in shown else "–"
        lines.append(f"| `{key}` | {phrase(field)} | {default} | {prose(field['description'])} | {example} |")
    lines.append("")
    for inner in map(title, re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema["properties"]))):
        if inner not in seen:
            seen.add(inner)
            lines += section(inner, min(level + 1, 4), shown, seen)
    return lines


def link(heading: str) -> str:
    """Markdown link to the section of a heading."""
    return f"[{heading}](#{re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-')})"


def prose(text: str) -> str:
    """Description in one line, with links to the files named."""
    text = " ".join(text.replace("``", "`").split())
    return re.sub(
        r"\b(?:config|data)/[a-z0-9-]+(?:\.yaml)?(?![\w/*-])", lambda file: f"[{file[0]}](../{file[0]})", text
    )


def sample(value: object) -> str:
    """Value in one short line: a text unchanged, any other value as YAML."""
    text = yaml.dump([value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))[1:-2]
    short = textwrap.shorten(value if value and isinstance(value, str) else text, 80, placeholder=" …").replace(
        "|", r"\|"
    )
    return f"`` {short} ``" if "`" in short else f"`{short}`"


# --- types -----------------------------------------------------------------------------------------------------------

NOUNS = {"integer": "whole number", "number": "number", "string": "text", NAME: "name", RUN: "`experiment/variant`"}
LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "{} or more",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
}


def phrase(field: dict) -> str:
    """Type of a key, in words."""
    if "$ref" in field:
        return link(title(field["$ref"]))
    if options := field.get("anyOf") or field.get("oneOf"):
        optional = "default" in field and field["default"] is None
        phrases = [phrase(option) for option in options if not (optional and option == {"type": "null"})]
        return (", or " if any(" " in words for words in phrases) else " or ").join(phrases)
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        *others, last = (f"`{value}`" for value in field["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    match field["type"]:
        case "null":
            return "`null`"
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"list of {several(field['items'], field.get('minItems'), field.get('maxItems'))}"
        case "object":
            keys, values = NOUNS[next(iter(field.get("patternProperties", {})), "string")], held(field)
            return "settings" if values is True else f"{keys} → {phrase(values)}"
    noun, limits = NOUNS[field.get("pattern", field["type"])], bounds(field)
    return f"{noun}{', ' if limits[:1].isdigit() else ' ' if limits else ''}{limits}"


def several(entry: dict, least: int | None, most: int | None) -> str:
    """Type and number of a list's entries, in words."""
    count = f"{least}{'' if least == most else ' or more'} " if least else ""
    if "$ref" in entry or "enum" in entry:
        return f"{count}{'of these: ' * ('enum' in entry)}{phrase(entry)}"
    noun, limits = NOUNS[entry.get("pattern", entry["type"])], bounds(entry)
    return f"{count}{noun}s{limits and f', each {limits}'}"


def bounds(field: dict) -> str:
    """Limits of a number, in words: above 0 and below 1."""
    return " and ".join(words.format(f"{field[key]:g}") for key, words in LIMITS.items() if key in field)


def held(field: dict) -> dict | bool | None:
    """Schema of a mapping's values; True: any value; None: the field is no mapping."""
    return next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))


# --- examples --------------------------------------------------------------------------------------------------------


def examples(root: Path, files: dict[Path, dict]) -> dict[tuple[str, str], object]:
    """The first non-null value of every key, by heading and key; null if there is none."""
    values: dict = {}
    for heading, model in FILES.items():
        for path in sorted(root.glob(heading)):
            headings = [heading, *([f"Kind `{files[path]['kind']}`"] if model is Experiment else [])]
            for entry in files[path].values() if model in (Teacher, Claim, PublishedCurves) else [files[path]]:
                for use, value in uses(headings, entry):
                    if values.get(use) is None:
                        values[use] = value
    return values


def uses(headings: list[str], content: dict) -> Iterator[tuple[tuple[str, str], object]]:
    """Heading and name of every key in a mapping, with the value; headings: models whose keys the mapping may hold.

    A key whose value is null is left out: it removes what another model may hold.
    """
    for key, value in content.items():
        if value is None:
            continue
        heading = next(heading for heading in headings if key in SCHEMAS[heading]["properties"])
        yield (heading, key), value
        for model, inner in mappings(SCHEMAS[heading]["properties"][key], value):
            yield from uses([model] if model else [*headings, "Changes"], inner)


def mappings(field: dict, value: object) -> Iterator[tuple[str, dict]]:
    """Mappings in a value, each with a heading; the heading is empty if the mapping holds keys of the file itself."""
    if isinstance(value, list):
        for entry in value:
            yield from mappings(field.get("items", {}), entry)
    elif isinstance(value, dict) and "$ref" in field:
        kind = SCHEMAS[title(field["$ref"])]["properties"].get("kind", {}).get("const")
        if kind in (None, value.get("kind")):
            yield title(field["$ref"]), value
    elif isinstance(value, dict) and held(field) is True:
        yield "", value
    elif isinstance(value, dict):
        for entry in value.values() if held(field) else []:
            yield from mappings(held(field), entry)
        for option in field.get("anyOf") or field.get("oneOf") or []:
            yield from mappings(option, value)
