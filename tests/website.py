"""A small report for tests, from constructed verdicts and kept results, and what its pages hold."""

import functools
import http.server
import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from itertools import count, cycle, pairwise
from pathlib import Path
from typing import get_args

from PIL import Image

from luckmatters.artefacts import Bundle, animation_files, figure_files
from luckmatters.config import Project
from luckmatters.judging.statistics import Effect
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, Judgement, judge_all
from luckmatters.report.gather import Material
from luckmatters.reports import complete
from luckmatters.settings.claims import Verdict

SHOWN = ("two-nodes", "decision-lines", "fan-out-two-hidden")  # experiments with kept results of the published settings
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="300pt" height="200pt" viewBox="0 0 300 200">'
    '<metadata><a>b</a></metadata><path d="M0.123456 0L300 200.5" stroke="black" transform="scale(0.015625)"/></svg>'
)


def judged(project: Project) -> list[Judgement]:
    """A judgement of every claim: all verdicts and outcomes in turn, some effects without limits."""
    verdicts, outcomes = cycle(get_args(Verdict)), cycle([SUPPORTS, CONTRADICTS, UNDECIDED])
    halves, numbers, found = cycle([0.1, float("inf"), float("nan")]), count(), []
    for name, claim in project.claims.items():
        verdict, effects = next(verdicts), {}
        for key, check in claim.checks.items() if verdict != "not run" else ():
            middle, half = check.threshold + 0.3 * (-1) ** next(numbers), next(halves)
            effects[key] = Effect(middle, middle - half, middle + half, 8, diverged=1), next(outcomes)
        found.append(Judgement(name, claim, verdict, effects, "why | <b>not</b>" * (verdict == "not run")))
    return found


def material(root: Path, folder: Path) -> Material:
    """What a report of the published settings shows: a few experiments, two of them drawn; laptop verdicts made up."""
    scales = {name: Project(root, scale=name, kept="only", figures=str(folder)) for name in ("paper", "laptop", "ci")}
    project = scales["paper"]
    results = complete(project, SHOWN)
    ledgers = {"paper": judge_all(project, {}), "laptop": judged(scales["laptop"])}
    for name in SHOWN[:2]:
        draw(project, name, drawing=name == SHOWN[0])
    return Material(project, results, scales, {scale: {j.name: j for j in js} for scale, js in ledgers.items()})


def draw(project: Project, name: str, *, drawing: bool) -> None:
    """Write a figure of an experiment, as pixels, and as a drawing or as an animation."""
    buffer, paths = io.BytesIO(), figure_files(project.figures, name)
    Image.new("RGB", (600, 400), "white").save(buffer, "png")
    files = {paths["png"].name: buffer.getvalue()} | ({paths["svg"].name: DRAWING.encode()} if drawing else {})
    Bundle(project.figures, paths["json"].name).save(files, {})
    if not drawing:
        moving = animation_files(project.figures, name)
        Bundle(project.figures, moving["json"].name).save({moving["gif"].name: b"GIF89a"}, {})


class Page(HTMLParser):
    """What a page holds: elements with attributes, in order; the text of headings; faults in the nesting."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "line", "circle", "path", "option"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text: list[tuple[tuple[str, ...], str]] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        self.faults += [f"{tag} is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes), tuple(self._open)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> in line {self.getpos()[0]} closes nothing")

    def handle_data(self, data: str) -> None:
        self.text.append((tuple(self._open), data))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        """The attributes of all elements with one of the tags."""
        return [attributes for tag, attributes, _ in self.elements if tag in tags]

    @property
    def ids(self) -> Counter[str]:
        """How often each id stands in the page."""
        return Counter(attributes["id"] for _, attributes, _ in self.elements if "id" in attributes)


def pages(folder: Path) -> dict[str, Page]:
    """All pages below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }


def faults(folder: Path) -> list[str]:
    """Links that lead nowhere, pictures without words, and pages that are no sound HTML, a line each."""
    site, found = pages(folder), []
    for name, page in site.items():
        found += [f"{name}: {fault}" for fault in page.faults]
        found += [f"{name}: id {key} stands {n} times" for key, n in page.ids.items() if n > 1]
        for attributes in page.all("a", "link", "img", "script"):
            target = attributes.get("href") or attributes.get("src") or ""
            if not target or target.startswith(("data:", "https://arxiv.org/")):
                continue
            path, _, fragment = target.partition("#")
            file = (folder / name).parent / path if path else folder / name
            if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
                found.append(f"{name}: {target} leads nowhere")
            elif fragment and fragment not in site[file.resolve().relative_to(folder.resolve()).as_posix()].ids:
                found.append(f"{name}: {target}: there is no such place")
        found += [f"{name}: picture {one.get('src')} has no words" for one in page.all("img") if not one.get("alt")]
        drawn = [one for one in page.all("svg") if one.get("aria-hidden") != "true"]
        found += [f"{name}: a drawing has no words" for one in drawn if not one.get("aria-label")]
        inside = [(tag, around) for tag, _, around in page.elements if tag in ("input", "select")]
        found += [f"{name}: {tag} has no label" for tag, around in inside if "label" not in around]
        levels = [int(tag[1]) for tag, _, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
        jumps = [b for a, b in pairwise(levels) if b > a + 1]
        if levels[:1] != [1] or levels.count(1) != 1 or jumps:
            found.append(f"{name}: headings are not in order: {levels}")
        if not all(one.get("lang") for one in page.all("html")) or len(page.all("main")) != 1:
            found.append(f"{name}: has no language, or not one main part")
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files are served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
