"""Plant scientific bugs, one at a time, and write which test catches each: docs/mutations.md.

    python maintenance/mutations.py [mutation …]        (all mutations, if none is named)

A mutation is an entry of maintenance/mutations.yaml. It replaces a text in a copy of the checkout. Then the fast tests
run until one of them fails: first the files whose tests import the changed module, the rest only if all of these pass.
In the end the tests that caught something run in a copy without mutations, where they must pass. The exit status is 1,
and nothing is written, if a mutation passes unseen. With names, the document's other rows stay. With --smallest one
mutation is tried, and nothing is written.
"""

import argparse
import ast
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

# Processes that run tests are copies of this process, which has loaded the large libraries. Not the package.
import pytest
import scipy.stats  # noqa: F401
import seaborn  # noqa: F401
import torch  # noqa: F401
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE, DOCUMENT = Path("src/luckmatters"), Path("docs/mutations.md")
OWN_TEST = "tests/test_mutations.py"  # fails with every mutation: the old text is gone
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+\.py)::(\w+)", re.MULTILINE)  # ERROR: in what the test is given
NO_TESTS = 5  # exit status of pytest where nothing was selected


@dataclass(frozen=True)
class Mutation:
    """A bug: a text that stands exactly once in a file below src/luckmatters, and the text in its place."""

    name: str
    wrong: str
    file: str
    old: str
    new: str

    @property
    def module(self) -> str:
        """The changed module, by the name below the package."""
        return self.file.removesuffix(".py").replace("/", ".")

    def applied(self, root: Path) -> str:
        """The changed source. Raises ValueError unless the old text stands exactly once, or if nothing changes."""
        source = (root / PACKAGE / self.file).read_text(encoding="utf-8")
        if (times := source.count(self.old)) != 1 or self.old == self.new:
            raise ValueError(
                f"maintenance/mutations.yaml: {self.name}: the old text stands {times} times in {self.file}"
            )
        return source.replace(self.old, self.new)

    def function(self, root: Path) -> str:
        """The name of the innermost function that the old text stands in; empty outside functions."""
        source = (root / PACKAGE / self.file).read_text(encoding="utf-8")
        line = source[: source.index(self.old)].count("\n") + 1
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
        around = [node for node in nodes if node.lineno <= line <= node.end_lineno]
        return max(around, key=lambda node: node.lineno).name if around else ""


@dataclass(frozen=True)
class Caught:
    """The test that fails with a mutation, and the processor time until then, in seconds."""

    mutation: Mutation
    file: str
    test: str
    seconds: float


def mutations(root: Path = ROOT) -> list[Mutation]:
    """All mutations, in order. Raises TypeError if an entry lacks a key or has another one."""
    entries = yaml.safe_load((root / "maintenance" / "mutations.yaml").read_text(encoding="utf-8"))
    return [Mutation(name, **entry) for name, entry in entries.items()]


def near(root: Path, mutation: Mutation) -> list[str]:
    """The files of fast tests that import the changed module, the most likely to fail first.

    That is the file of the module's name, then those that name the changed function, then those that import least.
    """
    package, name = mutation.module.rsplit(".", 1)
    imports = rf"^from luckmatters\.({re.escape(mutation.module)} import|{re.escape(package)} import .*\b{name}\b)"
    function = re.compile(rf"\b{mutation.function(root) or name}\b")
    files = [path for path in sorted((root / "tests").rglob("test_*.py")) if path.parent.name != "workflow"]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    chosen = [path for path, text in texts.items() if re.search(imports, text, re.MULTILINE)]

    def order(path: Path) -> tuple[bool, bool, int]:
        text = texts[path]
        return path.stem != f"test_{name}", not function.search(text), text.count("from luckmatters")

    return [str(path.relative_to(root)) for path in sorted(chosen, key=order)]


def tests(folder: Path, *arguments: str) -> str:
    """What pytest prints of fast tests in a copy, until one fails. Raises RuntimeError where tests cannot be run."""
    command = ["-x", "-q", "-rfE", "-m", "not slow", "-p", "no:cacheprovider", "--tb=no", *arguments]
    output = folder / "pytest.txt"
    process = multiprocessing.get_context("fork").Process(target=_pytest, args=(folder, command, output))
    process.start()
    process.join()
    text, status = output.read_text(encoding="utf-8"), process.exitcode
    if status not in (0, 1, NO_TESTS) or (status == 1 and not FAILED.search(text)):
        raise RuntimeError(f"pytest {' '.join(command)}: exit status {status}\n{text}")
    return text


def _is_ours(module: ModuleType) -> bool:
    """Whether a module belongs to this checkout."""
    file = getattr(module, "__file__", None)
    return bool(file) and Path(file).is_relative_to(ROOT) and ".venv" not in Path(file).parts


def _pytest(folder: Path, command: list[str], output: Path) -> None:
    """Run pytest in a process of its own, with the package and the tests of a copy."""
    for name in [name for name, module in sys.modules.items() if _is_ours(module)]:
        del sys.modules[name]
    with output.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)  # whatever stood for them in this process
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder / "src")
    sys.path.insert(0, str(folder / "src"))
    sys.exit(pytest.main(command))


def plant(mutation: Mutation, folder: Path) -> Caught | None:
    """The first test that fails with a mutation in a copy of the checkout, which is mended again; None without one."""
    path, close = folder / PACKAGE / mutation.file, near(folder, mutation)
    right, before = path.read_text(encoding="utf-8"), processor_seconds()
    try:
        path.write_text(mutation.applied(folder), encoding="utf-8")
        for chosen in ([close] if close else []) + [[f"--ignore={file}" for file in (*close, OWN_TEST)]]:
            if match := FAILED.search(tests(folder, *chosen)):
                return Caught(mutation, *match.groups(), processor_seconds() - before)
    finally:
        path.write_text(right, encoding="utf-8")
    return None


def processor_seconds() -> float:
    """The processor time of all finished child processes, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(one: Caught) -> str:
    """The document's line on a mutation."""
    changed, file = f"[{one.mutation.file}](../{PACKAGE / one.mutation.file})", one.file.removeprefix("tests/")
    test = one.test.removeprefix("test_").replace("_", " ")
    cells = (
        f"`{one.mutation.name}`",
        one.mutation.wrong,
        changed,
        f"[{file}](../{one.file})",
        test,
        f"{one.seconds:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def rows(document: str) -> dict[str, str]:
    """The lines of a document on mutations, by name."""
    return {name: line for line, name in re.findall(r"^(\| `([\w-]+)` \|.*)$", document, re.MULTILINE)}


def page(lines: Mapping[str, str]) -> str:
    """The document of these lines."""
    return f"""# Planted bugs

Each of these {len(lines)} scientific bugs is planted alone. The fast tests then run until one of them fails: first the
files whose tests import the changed module, the rest only if all of these pass. No bug passes unseen. Seconds are those
of the processor, for the tests up to the first failure, without the start of Python and of large libraries.
`python maintenance/mutations.py` writes this page from [maintenance/mutations.yaml](../maintenance/mutations.yaml).

| bug | what is wrong | planted in | caught in | by the test | s |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(lines.values())}
"""


def copy(folder: Path) -> Path:
    """A copy of the checkout's tracked files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--smallest", action="store_true", help="a trial of the script; nothing is written")
    options.add_argument("mutations", nargs="*")
    given = options.parse_args()
    every = {mutation.name: mutation for mutation in mutations()}
    names = given.mutations or (["gates-open-twice-as-often"] if given.smallest else [*every])
    if unknown := set(names) - set(every):
        sys.exit(f"no such mutation: {', '.join(sorted(unknown))}; allowed: {', '.join(every)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder, caught, unseen = copy(Path(scratch)), [], []
        for name in names:
            if found := plant(every[name], folder):
                caught.append(found)
                print(f"{name}: {found.file}::{found.test}, {found.seconds:.1f} s", flush=True)
            else:
                unseen.append(name)
                print(f"{name}: PASSES UNSEEN", flush=True)
        if unseen:
            sys.exit(f"{len(unseen)} of {len(names)} pass unseen: {', '.join(unseen)}")
        red = tests(folder, *dict.fromkeys(f"{one.file}::{one.test}" for one in caught))
        if match := FAILED.search(red):
            sys.exit(f"{'::'.join(match.groups())} fails without any mutation")
    if given.smallest:
        return
    document = ROOT / DOCUMENT
    known = rows(document.read_text(encoding="utf-8")) if document.exists() else {}
    known |= {one.mutation.name: row(one) for one in caught}
    document.write_text(page({name: known[name] for name in every if name in known}), encoding="utf-8")
    print(f"wrote {DOCUMENT}")


if __name__ == "__main__":
    main()
