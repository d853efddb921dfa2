"""Claims on how the overlap ρ̄ and the mean ranks move: pure functions, results in, effects by check out.

Every effect is computed for each seed and then averaged; a check holds where its whole interval lies above the
threshold that config/claims.yaml gives it. A seed that diverged is NaN and drops out of the effect, visibly: the
effect's number of seeds shrinks.
"""

import numpy as np
import pandas as pd

from luckmatters.claims.statistics import Effect, LacksDataError, log_spread_ratio, mean_effect
from luckmatters.results import Results

Effects = dict[str, Effect]

# To ask whether winners are settled within two epochs, a run must be much longer than that: a winner is by definition
# first at the end.
LONG_RUN = 10


def curves(results: Results, quantity: str = "correlation", **labels: str) -> list[pd.DataFrame]:
    """A quantity of each variant that has the labels: index (seed, epoch), a column a layer."""
    rows = results.select(quantity, **labels)
    return [
        part.pivot(index=["seed", "epoch"], columns="layer", values="value").sort_index()
        for _, part in rows.groupby("variant", sort=False)
    ]


def curve(results: Results, quantity: str = "correlation", **labels: str) -> pd.DataFrame:
    """The same for labels that only one variant has. Raises LacksDataError if none has them."""
    found = curves(results, quantity, **labels)
    if len(found) != 1:
        raise LacksDataError(f"{results.name} has {len(found)} variants with {labels}")
    return found[0]


def at(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows of an epoch, by seed. Raises LacksDataError if the run has no such epoch."""
    if epoch not in table.index.get_level_values("epoch"):
        raise LacksDataError(f"there is no epoch {epoch}")
    return table.xs(epoch, level="epoch")


def last_epoch(table: pd.DataFrame) -> int:
    """The epoch at which a run ended."""
    return int(table.index.get_level_values("epoch").max())


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch, by seed."""
    return at(table, last_epoch(table))


def until(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows up to an epoch."""
    return table[table.index.get_level_values("epoch") <= epoch]


def on_the_way(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over all epochs after the initial one, by seed; NaN where any is."""
    return table.query("epoch > 0").groupby("seed").agg(lambda values: values.mean(skipna=False))


def gap_closed(table: pd.DataFrame) -> pd.DataFrame:
    """Which part of the distance between its initial value and 1 each ρ̄ has come, (ρ̄(t) − ρ̄(0)) / (1 − ρ̄(0))."""
    initial = at(table, 0).reindex(table.index.get_level_values("seed")).set_axis(table.index)
    return (table - initial) / (1 - initial)


def mean_over_layers(table: pd.DataFrame) -> pd.Series:
    """One value a row; NaN where any layer is."""
    return table.mean(axis=1, skipna=False)


def smallest(columns: list[pd.Series]) -> Effect:
    """The smallest of several per-seed values, averaged over seeds: it is large only if all of them are."""
    return mean_effect(pd.concat(columns, axis=1).min(axis=1, skipna=False))


def recovery(results: dict[str, Results]) -> Effects:
    """Growth of ρ̄ in every layer of every variant; final ρ̄ of the small teacher's two lowest layers without BN."""
    sizes = results["teacher-size"]
    growth = [(at_end(rho) - at(rho, 0)).min(axis=1, skipna=False) for rho in curves(sizes)]
    small = at_end(curve(sizes, teacher="small", batch_norm="no-bn"))
    return {
        "grows": smallest(growth),
        "lowest-layer": mean_effect(small[0]),
        "second-layer": mean_effect(small[1]),
    }


def low_first(results: dict[str, Results]) -> Effects:
    """The lowest layer against the best of the others, at the end and on the way; and all neighbours in order."""
    best, first, ordered = [], [], []
    for rho in curves(results["teacher-size"]):
        end, closed = at_end(rho), on_the_way(gap_closed(rho))
        best.append(end[0] - end.drop(columns=0).max(axis=1, skipna=False))
        first.append(closed[0] - closed.drop(columns=0).max(axis=1, skipna=False))
        ordered.append(-end.diff(axis=1).iloc[:, 1:].max(axis=1, skipna=False))
    return {"lowest-best": smallest(best), "lowest-first": smallest(first), "ordered": smallest(ordered)}


def luck_keeps(results: dict[str, Results]) -> Effects:
    """How far below chance (0.5) the final winners' mean rank is at initialization; how it falls in two epochs."""
    ahead, falls, average = [], [], []
    for rank in curves(results["teacher-size"], "mean_rank"):
        advantage = 0.5 - at(rank, 0)
        ahead.append(advantage.min(axis=1, skipna=False))
        average.append(mean_over_layers(advantage))
        if last_epoch(rank) >= LONG_RUN:
            falls.append((at(rank, 0) - at(rank, 2)).min(axis=1, skipna=False))
    if not falls:
        raise LacksDataError(f"no variant ran for {LONG_RUN} epochs")
    return {
        "every-layer-ahead": smallest(ahead),
        "far-ahead": mean_effect(pd.concat(average, axis=1).mean(axis=1, skipna=False)),
        "falls": smallest(falls),
    }


def bn_helps_large(results: dict[str, Results]) -> Effects:
    """ρ̄ with BatchNorm minus ρ̄ without (large teacher), and the other way round (small teacher), paired by seed."""
    gain = {
        size: mean_over_layers(
            on_the_way(curve(results["teacher-size"], teacher=size, batch_norm="bn"))
            - on_the_way(curve(results["teacher-size"], teacher=size, batch_norm="no-bn"))
        )
        for size in ("large", "small")
    }
    return {"large-with-bn": mean_effect(gain["large"]), "small-without-bn": mean_effect(-gain["small"])}


def small_teacher_faster(results: dict[str, Results]) -> Effects:
    """Gap closed: small teacher after half the epochs that both ran, minus large teacher after all of them."""
    effects = {}
    for norm in ("no-bn", "bn"):
        small, large = (curve(results["teacher-size"], teacher=size, batch_norm=norm) for size in ("small", "large"))
        last = min(last_epoch(small), last_epoch(large))
        early, late = at(gap_closed(small), last // 2), at(gap_closed(large), last)
        effects[norm] = mean_effect(mean_over_layers(early - late))
    return effects


def over_param_helps(results: dict[str, Results]) -> Effects:
    """Spread, final ρ̄, ρ̄ on the way, initial ρ̄ and final loss against the multiplier, without BatchNorm."""
    table = results["over-param"]
    multipliers = [its["multiplier"] for its in table.labels.values() if its["batch-norm"] == "no-bn"]
    size = {label: int(label.removeprefix("m")) for label in multipliers}
    for needed in ("m1", "m10", "m50"):
        curve(table, multiplier=needed, batch_norm="no-bn")
    rho = {m: mean_over_layers(curve(table, multiplier=m, batch_norm="no-bn")).to_frame() for m in size}
    loss = {m: curve(table, "loss", multiplier=m, batch_norm="no-bn") for m in size if size[m] <= 20}
    end = {m: at_end(rho[m])[0] for m in ("m1", "m10")}
    common = min(last_epoch(rho["m10"]), last_epoch(rho["m50"]))
    way = {m: on_the_way(until(rho[m], common))[0] for m in ("m10", "m50")}
    initial = pd.concat([at(rho[m], 0)[0] for m in sorted(size, key=size.get)], axis=1)
    log_loss = np.log(pd.concat([at_end(table).iloc[:, 0] for table in loss.values()], axis=1)).dropna()
    log_size = np.log([size[m] for m in loss])
    return {
        "m1-unstable": log_spread_ratio(end["m1"], end["m10"]),
        "m10-beats-m1": mean_effect(end["m10"] - end["m1"]),
        "m50-slower": mean_effect(way["m10"] - way["m50"]),
        "more-tickets": mean_effect(initial.diff(axis=1).iloc[:, 1:].min(axis=1, skipna=False)),
        "loss-falls": mean_effect(log_loss.apply(lambda row: -np.polyfit(log_size, row, 1)[0], axis=1)),
    }


def finite_stalls(results: dict[str, Results]) -> Effects:
    """ρ̄ with infinite minus finite data: at the end, and its growth over the second half of the epochs."""
    behind, stalled = [], []
    for norm in ("no-bn", "bn"):
        infinite, finite = (
            curve(results["finite-data"], data=data, batch_norm=norm) for data in ("infinite", "finite")
        )
        end = min(last_epoch(infinite), last_epoch(finite))
        final, halfway = (mean_over_layers(at(infinite, epoch) - at(finite, epoch)) for epoch in (end, end // 2))
        behind.append(final)
        stalled.append(final - halfway)
    return {"behind": smallest(behind), "grows-less": smallest(stalled)}


CLAIMS = {
    "recovery": recovery,
    "low-first": low_first,
    "luck-keeps": luck_keeps,
    "bn-helps-large": bn_helps_large,
    "small-teacher-faster": small_teacher_faster,
    "over-param-helps": over_param_helps,
    "finite-stalls": finite_stalls,
}
