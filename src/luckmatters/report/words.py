"""Texts of pages: numbers, sizes, times, a little markup, and sentences in other languages."""

import math
import re
from functools import cache
from pathlib import Path

import pandas as pd
from markupsafe import Markup, escape

from luckmatters import findings
from luckmatters.config.files import read_yaml

TRANSLATIONS = Path(__file__).parent / "translations"
CODE = re.compile(r"`([^`]+)`")


def number(value: float) -> str:
    """A number with four digits; infinite limits as ∞."""
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return findings.number(value)


def cell(value: object) -> str:
    """A value of a table as text; a dash where there is none."""
    if pd.isna(value):
        return "–"
    return number(value) if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """A share in percent; a dash for NaN."""
    return "–" if pd.isna(share) else f"{share:.0%}"


def inline(text: str) -> Markup:
    """Text with `code` marked."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def size(count: float) -> str:
    """Bytes in words."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 120:
        return f"{seconds:.3g} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 7200 else f"{seconds / 3600:,.1f} hours"


def slug(text: str) -> str:
    """Text as a name of a class or a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@cache
def catalogue(language: str) -> dict[str, str]:
    """Translated sentences by English sentence: a sentence that has changed since has no stale translation."""
    return {} if language == "en" else read_yaml(TRANSLATIONS / f"{language}.yaml")
