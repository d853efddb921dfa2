"""docs/configuration.md: every key that a file in config/ may hold, written from the models of settings."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import Field
from pydantic.json_schema import models_json_schema

from luckmatters import artefacts
from luckmatters.config.files import read_yaml
from luckmatters.kinds import registry
from luckmatters.settings.base import NAME, RUN, Model
from luckmatters.settings.claims import Claim
from luckmatters.settings.experiment import Experiment
from luckmatters.settings.project import Scale, Settings
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
    "config/experiments/*.yaml": Experiment,
}
KINDS = {f"Kind `{name}`": kind.settings for name, kind in registry().items()}


def title(model: str) -> str:
    """The heading of a model that stands within others, by the name of its class or a reference to it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", model.rpartition("/")[2]).capitalize()
    return words.replace("Cifar10", "CIFAR-10").replace("Gaus", "GAUS")


def schemas() -> dict[str, dict]:
    """The JSON schema of every model, by heading. The loader has `reduced` of a teacher from its `scales`."""
    models = dict.fromkeys([*FILES.values(), Changes, *KINDS.values()])
    found = models_json_schema([(model, "validation") for model in models])[1]["$defs"]
    del found["Teacher"]["properties"]["reduced"]
    found["Teacher"]["properties"]["scales"] = found["Experiment"]["properties"]["scales"]
    tops = {heading: found[model.__name__] for heading, model in (FILES | KINDS).items()}
    return tops | {title(name): schema for name, schema in found.items()}


SCHEMAS = schemas()


def write(root: Path) -> Path:
    """Write the page anew; its path."""
    path = root / "docs" / "configuration.md"
    artefacts.write(path, page(root).encode())
    return path


def page(root: Path) -> str:
    """The whole text, for the checkout at root."""
    files = {path: read_yaml(path) for pattern in FILES for path in sorted(root.glob(pattern))}
    shown, seen = examples(root, files), set()
    contents = [*(f"- {link(one)}" for one in [*FILES, "Kinds"]), *(f"  - {link(one)}" for one in KINDS)]
    lines = [HEAD, *contents, ""]
    for heading in FILES:
        lines += section(heading, 2, shown, seen)
    lines += section("Changes", 3, shown, seen)
    lines += ["## Kinds", "", "The keys that each kind adds to those of every experiment.", ""]
    for heading, (name, kind) in zip(KINDS, registry().items(), strict=True):
        layouts = [f"`{one}`{its.single * ' (draws one variant)'}" for one, its in kind.layouts.items()]
        ours = [path.stem for path, content in files.items() if content.get("kind") == name]
        ours = [f"[{one}](../config/experiments/{one}.yaml)" for one in ours]
        about = f"Layouts of figures: {', '.join(layouts)}. Experiments: {', '.join(ours)}."
        lines += section(heading, 3, shown, seen, about)
    return "\n".join(lines).rstrip() + "\n"


def section(heading: str, level: int, shown: dict, seen: set[str], *about: str) -> list[str]:
    """A model's table, and below it those of the models in it that have not been seen."""
    schema = SCHEMAS[heading]
    lines = ["\n\n".join(["#" * level + f" {heading}", prose(schema["description"]), *about, TABLE])]
    for key, field in schema["properties"].items():
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
    """A link to a section."""
    return f"[{heading}](#{re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-')})"


def prose(text: str) -> str:
    """A description in one line, with links to the files that it names."""
    text = " ".join(text.replace("``", "`").split())
    return re.sub(
        r"\b(?:config|data)/[a-z0-9-]+(?:\.yaml)?(?![\w/*-])", lambda file: f"[{file[0]}](../{file[0]})", text
    )


def sample(value: object) -> str:
    """A text as it is and other values as YAML, in one line, cut short."""
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
    """What a key may hold, in words."""
    if "$ref" in field:
        return link(title(field["$ref"]))
    if options := field.get("anyOf") or field.get("oneOf"):
        optional = "default" in field and field["default"] is None
        said = [phrase(one) for one in options if not (optional and one == {"type": "null"})]
        return (", or " if any(" " in one for one in said) else " or ").join(said)
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        *others, last = (f"`{one}`" for one in field["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    match field["type"]:
        case "null":
            return "`null`"
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"list of {several(field['items'], field.get('minItems'), field.get('maxItems'))}"
        case "object":
            keys, values = ("name" if "patternProperties" in field else "text"), held(field)
            return "settings" if values is True else f"{keys} → {phrase(values)}"
    noun, limits = NOUNS[field.get("pattern", field["type"])], bounds(field)
    return f"{noun}{', ' if limits[:1].isdigit() else ' ' if limits else ''}{limits}"


def several(entry: dict, least: int | None, most: int | None) -> str:
    """The entries of a list, and how many there are."""
    count = f"{least}{'' if least == most else ' or more'} " if least else ""
    if "$ref" in entry or "enum" in entry:
        return f"{count}{'of these: ' * ('enum' in entry)}{phrase(entry)}"
    noun, limits = NOUNS[entry.get("pattern", entry["type"])], bounds(entry)
    return f"{count}{noun}s{limits and f', each {limits}'}"


def bounds(field: dict) -> str:
    """The limits of a number: above 0 and below 1."""
    return " and ".join(words.format(f"{field[key]:g}") for key, words in LIMITS.items() if key in field)


def held(field: dict) -> dict | bool | None:
    """What the values of a mapping may be; True: anything; None: the field is no mapping."""
    return next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))


# --- examples --------------------------------------------------------------------------------------------------------


def examples(root: Path, files: dict[Path, dict]) -> dict[tuple[str, str], object]:
    """The first value of every key that is not null (else null), by heading and key."""
    found: dict = {}
    for heading, model in FILES.items():
        for path in sorted(root.glob(heading)):
            headings = [heading, *([f"Kind `{files[path]['kind']}`"] if model is Experiment else [])]
            for entry in files[path].values() if model in (Teacher, Claim) else [files[path]]:
                for use, value in uses(headings, entry):
                    if found.get(use) is None:
                        found[use] = value
    return found


def uses(headings: list[str], content: dict) -> Iterator[tuple[tuple[str, str], object]]:
    """Every key in a mapping, with its heading and value; headings: those whose keys the mapping may hold."""
    for key, value in content.items():
        heading = next(one for one in headings if key in SCHEMAS[one]["properties"])
        yield (heading, key), value
        for model, inner in mappings(SCHEMAS[heading]["properties"][key], value):
            yield from uses([model] if model else [*headings, "Changes"], inner)


def mappings(field: dict, value: object) -> Iterator[tuple[str, dict]]:
    """The mappings in a value, each with its heading, or without one where it holds keys of the file itself."""
    if isinstance(value, list):
        for one in value:
            yield from mappings(field.get("items", {}), one)
    elif isinstance(value, dict) and "$ref" in field:
        kind = SCHEMAS[title(field["$ref"])]["properties"].get("kind", {}).get("const")
        if kind in (None, value.get("kind")):
            yield title(field["$ref"]), value
    elif isinstance(value, dict) and held(field) is True:
        yield "", value
    elif isinstance(value, dict):
        for one in value.values() if held(field) else []:
            yield from mappings(held(field), one)
        for option in field.get("anyOf") or field.get("oneOf") or []:
            yield from mappings(option, value)
