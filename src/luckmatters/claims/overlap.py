"""Claims on how the overlap ρ̄ and the mean ranks move: pure functions, results in, effects by check out.

Every effect is computed for each seed and then averaged; a check holds where its whole interval lies above the
threshold that config/claims.yaml gives it. A seed that diverged is NaN and drops out of the effect, visibly: the
effect's number of seeds shrinks.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from luckmatters.claims.statistics import Effect, LacksDataError, log_spread_ratio, mean_effect
from luckmatters.results import Results

Effects = dict[str, Effect]

# To ask whether winners are settled within two epochs, a run must be much longer than that: a winner is by definition
# first at the end.
LONG_RUN = 10


def curves(results: Results, quantity: str = "correlation", **labels: str) -> list[pd.DataFrame]:
    """A quantity of each variant that has the labels: index (seed, epoch), a column a layer.

    Raises LacksDataError if there is no such variant.
    """
    rows = results.select(quantity, **labels)
    if rows.empty:
        raise LacksDataError(f"{results.name} has no variant with {labels}")
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


def growth(table: Results, **labels: str) -> Effect:
    """Final minus initial ρ̄, the smallest over layers and over the variants with these labels."""
    return smallest([(at_end(rho) - at(rho, 0)).min(axis=1, skipna=False) for rho in curves(table, **labels)])


def head_start(table: Results, **labels: str) -> Effect:
    """How far below chance (0.5) the final winners' mean rank is at epoch 0, smallest over layers and variants."""
    return smallest([(0.5 - at(rank, 0)).min(axis=1, skipna=False) for rank in curves(table, "mean_rank", **labels)])


def recovery(sizes: Results) -> Effects:
    """Growth of ρ̄ in every layer of every variant; final ρ̄ of the small teacher's two lowest layers without BN."""
    small = at_end(curve(sizes, teacher="small", batch_norm="no-bn"))
    return {"grows": growth(sizes), "lowest-layer": mean_effect(small[0]), "second-layer": mean_effect(small[1])}


def low_first(sizes: Results) -> Effects:
    """The lowest layer against the best of the others, at the end and on the way; and all neighbours in order."""
    best, first, ordered = [], [], []
    for rho in curves(sizes):
        end, closed = at_end(rho), on_the_way(gap_closed(rho))
        best.append(end[0] - end.drop(columns=0).max(axis=1, skipna=False))
        first.append(closed[0] - closed.drop(columns=0).max(axis=1, skipna=False))
        ordered.append(-end.diff(axis=1).iloc[:, 1:].max(axis=1, skipna=False))
    return {"lowest-best": smallest(best), "lowest-first": smallest(first), "ordered": smallest(ordered)}


def luck_keeps(sizes: Results) -> Effects:
    """How far below chance (0.5) the final winners' mean rank is at initialization."""
    average = [mean_over_layers(0.5 - at(rank, 0)) for rank in curves(sizes, "mean_rank")]
    return {
        "every-layer-ahead": head_start(sizes),
        "far-ahead": mean_effect(pd.concat(average, axis=1).mean(axis=1, skipna=False)),
    }


def rank_falls(sizes: Results) -> Effects:
    """How far the mean rank falls in two epochs, in runs that are long enough to ask."""
    long = [rank for rank in curves(sizes, "mean_rank") if last_epoch(rank) >= LONG_RUN]
    if not long:
        raise LacksDataError(f"no variant ran for {LONG_RUN} epochs")
    return {"falls": smallest([(at(rank, 0) - at(rank, 2)).min(axis=1, skipna=False) for rank in long])}


def batch_norm_gain(table: Results, **labels: str) -> Effect:
    """ρ̄ with BatchNorm minus ρ̄ without, averaged over layers and epochs, paired by seed."""
    with_norm, without = (on_the_way(curve(table, batch_norm=norm, **labels)) for norm in ("bn", "no-bn"))
    return mean_effect(mean_over_layers(with_norm - without))


def negative(effect: Effect) -> Effect:
    """The same with its sign turned."""
    return Effect(-effect.estimate, -effect.high, -effect.low, effect.seeds)


def bn_helps_large(sizes: Results) -> Effects:
    """The gain by BatchNorm for the large teacher, and its negative for the small one."""
    return {
        "large-with-bn": batch_norm_gain(sizes, teacher="large"),
        "small-without-bn": negative(batch_norm_gain(sizes, teacher="small")),
    }


def small_teacher_faster(sizes: Results) -> Effects:
    """Gap closed: small teacher after half the epochs that both ran, minus large teacher after all of them."""
    effects = {}
    for norm in ("no-bn", "bn"):
        small, large = (curve(sizes, teacher=size, batch_norm=norm) for size in ("small", "large"))
        last = min(last_epoch(small), last_epoch(large))
        early, late = at(gap_closed(small), last // 2), at(gap_closed(large), last)
        effects[norm] = mean_effect(mean_over_layers(early - late))
    return effects


def over_param_helps(table: Results) -> Effects:
    """Spread, final ρ̄, ρ̄ on the way, initial ρ̄ and final loss against the multiplier, without BatchNorm."""
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


def stalls(table: Results, network: str) -> list[Effect]:
    """ρ̄ with infinite minus finite data: at the end, and its growth over the second half of the epochs."""
    behind, stalled = [], []
    for norm in ("no-bn", "bn"):
        infinite, finite = (
            curve(table, network=network, data=data, batch_norm=norm) for data in ("infinite", "finite")
        )
        end = min(last_epoch(infinite), last_epoch(finite))
        final, halfway = (mean_over_layers(at(infinite, epoch) - at(finite, epoch)) for epoch in (end, end // 2))
        behind.append(final)
        stalled.append(final - halfway)
    return [smallest(behind), smallest(stalled)]


def finite_stalls(table: Results) -> Effects:
    """How far finite data fall behind, and how much less ρ̄ grows late, for both kinds of network."""
    fc, conv = stalls(table, "fc"), stalls(table, "conv")
    return {"behind": fc[0], "grows-less": fc[1], "conv-behind": conv[0], "conv-grows-less": conv[1]}


def same_rate(table: Results, networks: Iterable[str]) -> list[str]:
    """The kinds of network that were trained with and without BatchNorm at the same learning rate."""
    rates = {
        (its["network"], its["batch-norm"]): table.runs[variant].settings.training.learning_rate
        for variant, its in table.labels.items()
    }
    return [network for network in networks if rates.get((network, "bn")) == rates.get((network, "no-bn"))]


def cifar_accuracy(table: Results) -> Effects:
    """Final accuracy against the teacher's on the same images."""
    reached = {
        network: smallest(
            [
                at_end(ours).iloc[:, 0] - at_end(its).iloc[:, 0]
                for ours, its in zip(
                    *(curves(table, quantity, network=network) for quantity in ("accuracy", "teacher_accuracy")),
                    strict=True,
                )
            ]
        )
        for network in ("fc", "conv")
    }
    return {"fc-reaches": reached["fc"], "conv-reaches": reached["conv"]}


def cifar_batch_norm(table: Results) -> Effects:
    """What BatchNorm does to r̄ and to the growth of ρ̄, at the same learning rate."""
    ranks, growths = [], []
    for network in same_rate(table, ("fc", "conv")):
        without, with_norm = (
            on_the_way(curve(table, "mean_rank", network=network, batch_norm=norm)) for norm in ("no-bn", "bn")
        )
        ranks.append(mean_over_layers(without - with_norm))
        plain, normed = (curve(table, network=network, batch_norm=norm) for norm in ("no-bn", "bn"))
        growths.append(mean_over_layers((at_end(plain) - at(plain, 0)) - (at_end(normed) - at(normed, 0))))
    if not ranks:
        raise LacksDataError("no kind of network has the same learning rate with and without BatchNorm")
    return {"bn-improves-rank": smallest(ranks), "bn-not-overlap": smallest(growths)}


# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS: dict[str, dict[str, list[Callable[[Results], Effects]]]] = {
    "recovery": {
        "teacher-size": [recovery],
        "gaus-conv": [lambda table: {"conv-grows": growth(table, network="conv")}],
        "cifar-conv": [lambda table: {"cifar-grows": growth(table)}],
    },
    "low-first": {"teacher-size": [low_first]},
    "luck-keeps": {
        "teacher-size": [luck_keeps, rank_falls],
        "gaus-conv": [lambda table: {"conv-ahead": head_start(table, network="conv")}],
        "cifar-conv": [lambda table: {"cifar-ahead": head_start(table)}],
    },
    "bn-helps-large": {
        "teacher-size": [bn_helps_large],
        "gaus-conv": [lambda table: {"conv-with-bn": batch_norm_gain(table, network="conv")}],
    },
    "small-teacher-faster": {"teacher-size": [small_teacher_faster]},
    "over-param-helps": {"over-param": [over_param_helps]},
    "finite-stalls": {"finite-data": [finite_stalls]},
    "cifar-students": {"cifar-conv": [cifar_accuracy, cifar_batch_norm]},
}
