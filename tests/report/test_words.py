"""Texts of pages: numbers, markup, translations, and colours that can be read."""

import itertools
import re
from typing import get_args

import pytest

from luckmatters.ledger import RULES
from luckmatters.report import pages, words
from luckmatters.report.gather import BEYOND, PAPER
from luckmatters.settings.claims import Verdict

STYLE = (pages.TEMPLATES / "style.css").read_text(encoding="utf-8")
LEAST = 4.5  # WCAG 2.2, 1.4.3: contrast of text at level AA
LEAST_MARK = 3.0  # WCAG 2.2, 1.4.11: contrast of what graphics show


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.09531, "−0.09531"), (float("inf"), "∞"), (float("-inf"), "−∞"), (float("nan"), "–"), (2752, "2752")],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_code_is_marked_and_nothing_else_is_markup() -> None:
    assert words.inline("a `b<c` <i>") == "a <code>b&lt;c</code> &lt;i&gt;"


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.84, "9.84 seconds"), (119, "119 seconds"), (1930, "32 minutes"), (9000, "2.5 hours")]
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(1234, "1 kB"), (14.2e6, "14 MB"), (1.26e9, "1.3 GB")])
def test_sizes_in_words(count: float, text: str) -> None:
    assert words.size(count) == text


def test_every_sentence_of_the_front_page_is_translated() -> None:
    """Those of templates and of the ledger; claims that are not translated yet stand in English."""
    templates = "".join((pages.TEMPLATES / name).read_text() for name in ("base.html", "front.html", "parts.html"))
    sentences = re.findall(r"""\bt\((?:"([^"]+)"|'([^']+)')\)""", templates)
    assert len(sentences) > 30
    needed = {first or second for first, second in sentences} | {*get_args(Verdict), RULES, PAPER, *BEYOND.values()}
    assert sorted(needed - words.catalogue("zh").keys()) == []


def test_translations_keep_the_places_of_numbers() -> None:
    for sentence, translation in words.catalogue("zh").items():
        assert sorted(re.findall(r"\{\w+\}", sentence)) == sorted(re.findall(r"\{\w+\}", translation))


# --- colours ---------------------------------------------------------------------------------------------------------


def colors(style: str) -> dict[str, dict[str, str]]:
    """The colour variables of the light and of the dark mode, by name."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r":root \{([^}]*)\}", style)[:2]
    )
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def contrast(first: str, second: str) -> float:
    """Contrast of two colours (#rrggbb) by WCAG 2.2."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def pairs(style: str) -> set[tuple[str, str]]:
    """Text colours with the grounds that they stand on: of the same rule, or else of pages and of cards."""
    found = set()
    for body in re.findall(r"\{([^{}]*)\}", style):
        text = re.findall(r"(?<![\w-])(?:color|fill): var\(--([\w-]+)\)", body)
        ground = re.findall(r"background: var\(--([\w-]+)\)", body)
        found |= {*itertools.product(text, ground or ("paper", "card"))}
    return found


def test_contrast_is_that_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_can_be_read_on_every_ground(mode: str) -> None:
    found, known = pairs(STYLE), colors(STYLE)[mode]
    assert {("good", "good-ground"), ("bad", "bad-ground"), ("muted", "paper"), ("link", "card")} <= found
    weak = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in found if pair[0] in known}
    assert {pair: value for pair, value in weak.items() if value < LEAST} == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_marks_of_forest_plots_can_be_seen(mode: str) -> None:
    known = colors(STYLE)[mode]
    for mark, ground in itertools.product(("mark-good", "mark-bad", "mark-open", "ink"), ("paper", "card")):
        assert contrast(known[mark], known[ground]) >= LEAST_MARK, (mark, ground)


def test_every_verdict_has_a_colour_and_a_filter() -> None:
    for verdict in get_args(Verdict):
        name = words.slug(verdict)
        assert f"#show-{name}:not(:checked)) tr.{name}" in STYLE
        assert re.search(rf"\.{name}(\.badge)?[ ,]", STYLE)
