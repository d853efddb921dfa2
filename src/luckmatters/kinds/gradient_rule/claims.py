"""Claims on the paper's gradient rule (Lemma 1) and on the matrix forms."""

import numpy as np
import pandas as pd

from luckmatters.judging.curves import curve
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.tables.results import Results


def at_any_time(table: pd.DataFrame) -> pd.DataFrame:
    """A curve with a row a seed, and a column a layer and epoch."""
    return table.unstack("epoch")


def identity(results: Results) -> Effect:
    """Decimal digits to which the gradient rule holds, in every layer at every saved epoch."""
    residual = curve(results, "residual")
    return in_every_cell(at_any_time(-np.log10(residual.clip(lower=np.finfo(float).tiny))))


def direction(results: Results, form: str) -> Effect:
    """Cosine of a matrix form with the averaged gradient, in every layer at every saved epoch."""
    return in_every_cell(at_any_time(curve(results, f"{form}_cosine")))


EVIDENCE = [
    evidence("gradient-rule", "identity", "gradient-rule", identity),
    evidence("gradient-rule", "direction", "gradient-rule", direction, form="matrix_form"),
    evidence("gradient-rule", "direction-recursive", "gradient-rule", direction, form="recursive_matrix_form"),
]
