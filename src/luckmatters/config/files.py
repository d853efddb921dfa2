"""Reading a YAML file. Every failure is one line that names the file, the key and what is allowed."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from luckmatters.errors import UserError

M = TypeVar("M", bound=BaseModel)


# libyaml's parser, if PyYAML has it: every job reads all files, and PyYAML's own parser takes a quarter of a second.
class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML loader that refuses equal keys, except those merged by ``<<``. PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys, lines = [], []
        for key_node in (key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"):
            key, mark = self.construct_object(key_node, deep=True), key_node.start_mark
            if key in keys:
                problem = f"key {key!r} stands in line {lines[keys.index(key)]} already"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
            keys.append(key)
            lines.append(mark.line + 1)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file. Raises UserError if the file is missing, unreadable, not YAML, or no mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as error:
        remedy = "; run in the repository's root, or give --project" if isinstance(error, FileNotFoundError) else ""
        raise UserError(f"{path}: cannot be read ({error.strerror}){remedy}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}: line {line}: not valid YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold keys and values, got {type(content).__name__}")
    return content


def validate(model: type[M], content: object, where: str) -> M:
    """Content checked against a model. Raises UserError with the first fault and the number of further faults."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Unknown keys go first: a misspelt key is often why another is missing.
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise UserError(f"{where}: {_describe(model, faults[0])}{_more(len(faults) - 1)}") from None


def choose(name: str, allowed: Iterable[str], where: str) -> str:
    """The name, if it is allowed. Otherwise raises UserError with the allowed names."""
    allowed = list(allowed)
    if name not in allowed:
        raise UserError(f"{where}: unknown name {name!r}{_closest(name, allowed)}; allowed: {', '.join(allowed)}")
    return name


def _describe(model: type[BaseModel], fault: dict) -> str:
    location, parent = _locate(model, fault["loc"])
    key = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        allowed = list(parent.model_fields)
        return f"{key}: unknown key{_closest(str(location[-1]), allowed)}; allowed: {', '.join(allowed)}"
    if fault["type"] == "missing":
        return f"{key}: missing; add it"
    if fault["type"] == "union_tag_invalid":
        return f"{key}.kind: must be {fault['ctx']['expected_tags'].replace(', ', ' or ')}, got {fault['ctx']['tag']!r}"
    if fault["type"] == "union_tag_not_found":
        return f"{key}.kind: missing; add it"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = "" if isinstance(fault["input"], dict | BaseModel) else f", got {fault['input']!r}"
    where = f"{key}: " if key else ""  # an empty key: the fault concerns the whole entry
    return f"{where}{'must be ' if 'Input should be' in fault['msg'] else ''}{message}{got}"


def _locate(model: type[BaseModel], location: tuple) -> tuple[tuple, type[BaseModel]]:
    """Keys that lead to a place in the file, and the model that the place was checked against.

    Pydantic lists a mapping's kind (``kind: gaus``) as if it were a key. The result leaves the kind out.
    """
    keys, choices = [], [model]
    for step in location:
        if len(choices) > 1:
            choices = [choice for choice in choices if step in choice.model_fields["kind"].annotation.__args__]
            continue
        keys.append(step)
        field = choices[0].model_fields.get(step) if isinstance(step, str) else None
        if field:
            parts = _parts(field.annotation)
            choices = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)] or choices
    return tuple(keys), choices[0]


def _parts(annotation: object) -> Iterable[object]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _parts(argument)


def _closest(name: str, allowed: list[str]) -> str:
    match = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _more(count: int) -> str:
    return f" (and {count} more {'fault' if count == 1 else 'faults'})" if count else ""
