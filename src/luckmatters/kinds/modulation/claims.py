"""Claims on top-down modulation: the diagonals of β* and H*."""

import numpy as np
import pandas as pd

from luckmatters.judging.curves import at_end, change, curve
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.tables.results import Results


def dominances(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Logarithms of the dominance of the diagonals of β* and of H*: by seed and epoch, a column a layer."""
    return tuple(np.log(curve(results, f"{name}_dominance")) for name in ("beta_star", "h_star"))


def beta_grows(results: Results) -> Effect:
    """Growth of the log dominance of the diagonal of β* in training, in every layer."""
    return in_every_cell(change(dominances(results)[0]))


def h_grows(results: Results) -> Effect:
    """Growth of the log dominance of the diagonal of H* in training, in every layer."""
    return in_every_cell(change(dominances(results)[1]))


def h_above_beta(results: Results) -> Effect:
    """Log dominance of the diagonal of H* minus that of β*, after training, in every layer."""
    beta, h = dominances(results)
    return in_every_cell(at_end(h) - at_end(beta))


def h_gains_more(results: Results) -> Effect:
    """Growth of the log dominance of the diagonal of H* minus that of β*, in every layer."""
    beta, h = dominances(results)
    return in_every_cell(change(h - beta))


def match_leads(results: Results) -> Effect:
    """Share of teacher nodes whose matched student has the greatest |H*|, after training, in every layer."""
    return in_every_cell(at_end(curve(results, "h_star_lead")))


EVIDENCE = [
    evidence("top-down", "beta-grows", "modulation", beta_grows),
    evidence("top-down", "h-grows", "modulation", h_grows),
    evidence("top-down", "h-above-beta", "modulation", h_above_beta),
    evidence("top-down", "h-gains-more", "modulation", h_gains_more),
    evidence("top-down", "match-leads", "modulation", match_leads),
    evidence("top-down", "cifar-beta-grows", "modulation-cifar", beta_grows),
    evidence("top-down", "cifar-h-grows", "modulation-cifar", h_grows),
    evidence("top-down", "cifar-h-above-beta", "modulation-cifar", h_above_beta),
    evidence("top-down", "cifar-h-gains-more", "modulation-cifar", h_gains_more),
    evidence("top-down", "cifar-match-leads", "modulation-cifar", match_leads),
]
