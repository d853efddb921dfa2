"""The claim on small overlap, on constructed tables with known answers."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.judging.statistics import LacksDataError
from luckmatters.kinds.bn_bias.claims import as_published
from luckmatters.kinds.bn_bias.run import tabulate
from luckmatters.ledger import CONTRADICTS, SUPPORTS, judge, outcome
from luckmatters.science.biases import MOMENTS, by_layer, share_bounds
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
CLAIM = PROJECT.claims["small-overlap"]

# --- joint firing and our own network --------------------------------------------------------------------------------

NETWORKS = ("conv-bn-relu", "fc-small", "fc-large", "conv")
CHANNELS, LAYERS, SEEDS, END = 64, 4, 8, 20
Value = Callable[[str, int, int, int], float]  # of (network, layer, epoch, seed)


def made(name: str, frames: dict[str, pd.DataFrame]) -> Results:
    """Results of an experiment whose variants have these tables."""
    variants = PROJECT.variants(name)
    labels = {variant: its for variant, (_, its) in variants.items()}
    assert set(frames) == set(variants)
    table = pd.concat([frame.assign(variant=v, **labels[v]) for v, frame in frames.items()], ignore_index=True)
    runs = {variant: run for variant, (run, _) in variants.items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {})


def wave(layer: int, seed: int) -> float:
    """Small, of mean zero over seeds, different in every layer."""
    return 0.002 * np.sin(2 * np.pi * (seed + 0.3 * layer) / SEEDS)


def own(network: str) -> bool:
    return network == "conv-bn-relu"


def rare(network: str, layer: int, epoch: int, seed: int) -> float:
    return (0.13 if own(network) and epoch == 0 else 0.10) + wave(layer, seed)


def aligned(network: str, layer: int, epoch: int, seed: int) -> float:
    return 0.23 + 0.5 * wave(layer, seed + 1)


def mostly(network: str, layer: int, epoch: int, seed: int) -> float:
    return 0.7 + 0.02 * (seed % 2)


def small_overlap(together: Value = rare, independent: Value = aligned, negative: Value = mostly) -> Results:
    """Joint firing and the share of negative biases as functions; all as the claim has it unless told."""
    frames = {}
    for network in NETWORKS:
        rows = []
        for epoch in (0, END) if own(network) else (0,):
            for seed in range(SEEDS):
                for layer in range(LAYERS):
                    at = (network, layer, epoch, seed)
                    values = {"together": together(*at), "independent": independent(*at), "fires": 0.5}
                    if own(network):
                        below = negative(*at) * CHANNELS if epoch else 0.0
                        values |= {"channels": CHANNELS, "negative": below, "positive": CHANNELS - below, "zero": 0}
                    rows += [(seed, epoch, layer, quantity, value) for quantity, value in values.items()]
        frames[network] = pd.DataFrame(rows, columns=["seed", "epoch", "layer", "quantity", "value"])
    return made("small-overlap", frames)


def outcomes(results: Results) -> dict[str, str]:
    return judge("small-overlap", CLAIM, {results.name: results}, "paper").outcomes


OWN = ("own-negative", "own-rare", "own-below-independence", "own-falls")
PAIRS = (*OWN, "fc-rare", "conv-rare")


def test_small_overlap_is_supported_where_nodes_rarely_fire_together() -> None:
    assert outcomes(small_overlap()) == dict.fromkeys(PAIRS, SUPPORTS)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize(
    ("network", "prefix"), [("conv-bn-relu", "own"), ("fc-small", "fc"), ("fc-large", "fc"), ("conv", "conv")]
)
def test_a_layer_that_fires_together_fails_only_its_network(network: str, prefix: str, layer: int) -> None:
    def where(value: float, otherwise: Value) -> Value:
        def changed(one: str, its: int, epoch: int, seed: int) -> float:
            hit = (one, its) == (network, layer)
            return value + wave(its, seed) if hit else otherwise(one, its, epoch, seed)

        return changed

    everything = dict.fromkeys(PAIRS, SUPPORTS)
    often = outcomes(small_overlap(where(0.13, rare)))  # of the 0.5 of the time that nodes fire
    falls = {"own-falls": CONTRADICTS} if prefix == "own" else {}  # 0.13 before training and after
    assert often == everything | {f"{prefix}-rare": CONTRADICTS} | falls
    dependent = outcomes(small_overlap(independent=where(0.08, aligned)))
    assert dependent == everything | ({"own-below-independence": CONTRADICTS} if prefix == "own" else {})


@pytest.mark.parametrize(("together", "expected"), [(0.245, SUPPORTS), (0.255, CONTRADICTS)])
def test_firing_together_rarely_is_less_than_a_quarter_of_a_nodes_firing(together: float, expected: str) -> None:
    def always(network: str, layer: int, epoch: int, seed: int) -> float:
        return together + 0.1 * wave(layer, seed)

    results = small_overlap(always)
    fires = results.table["quantity"] == "fires"
    results.table.loc[fires, "value"] = 1.0  # P(both) of a quarter is what nodes with P(one) of a half have by chance
    found = outcomes(results)
    assert {found[f"{name}-rare"] for name in ("own", "fc", "conv")} == {expected}
    results.table.loc[fires, "value"] = 0.5
    assert {outcomes(results)[f"{name}-rare"] for name in ("own", "fc", "conv")} == {CONTRADICTS}


def test_joint_firing_that_rises_in_one_layer_fails() -> None:
    def rises(network: str, layer: int, epoch: int, seed: int) -> float:
        return rare(network, layer, epoch, seed) - (0.05 if (layer, epoch) == (2, 0) else 0)

    assert outcomes(small_overlap(rises)) == dict.fromkeys(PAIRS, SUPPORTS) | {"own-falls": CONTRADICTS}


def test_a_network_with_few_negative_biases_fails() -> None:
    def few(network: str, layer: int, epoch: int, seed: int) -> float:
        return 0.3 + 0.02 * (seed % 2)

    assert outcomes(small_overlap(negative=few)) == dict.fromkeys(PAIRS, SUPPORTS) | {"own-negative": CONTRADICTS}


def test_trained_biases_are_counted_over_all_channels_at_the_last_epoch() -> None:
    def one_layer(network: str, layer: int, epoch: int, seed: int) -> float:
        return 1.0 if layer == 3 else 0.4

    judged = judge("small-overlap", CLAIM, {"small-overlap": small_overlap(negative=one_layer)}, "paper").effects
    assert judged["own-negative"][0].estimate == pytest.approx(0.55)


def test_independent_nodes_that_fire_half_the_time_do_not_fire_rarely() -> None:
    def quarter(network: str, layer: int, epoch: int, seed: int) -> float:
        return 0.25 + wave(layer, seed + epoch / 50)

    found = outcomes(small_overlap(quarter))
    assert {found[f"{name}-rare"] for name in ("own", "fc", "conv")} == {CONTRADICTS}


# --- pretrained networks ---------------------------------------------------------------------------------------------

SHARES, PUBLISHED_MOMENTS = (
    pd.read_csv(ROOT / "data" / "published" / f"pretrained-{name}.csv") for name in ("bias-shares", "norm-moments")
)
EVERY = {variant: run.settings.model for variant, (run, _) in PROJECT.variants("bn-bias-all").items()}


@cache
def matching(model: str, *, weights: bool = True, negative: float = 0.8, **off: tuple[int, float]) -> pd.DataFrame:
    """A network whose weights give every published number, but for those of a layer that are off by so much."""
    published = [table[table["model"] == model] for table in (SHARES, PUBLISHED_MOMENTS)]
    table = tabulate(None, [one for one in published if len(one)])
    if not weights:
        return table
    layers = table.pivot(index="layer", columns="quantity", values="value")
    ours = pd.DataFrame({"negative": negative * layers["channels"], "zero": 0.0}, index=layers.index)
    ours["positive"] = layers["channels"] - layers.get("published_not_positive", ours["negative"])
    for name in MOMENTS:
        ours[name] = layers.get(f"published_{name}", 0.0) + 0.0004  # as near as three decimals can tell
    for name, (layer, amount) in off.items():
        ours.loc[layer, name] += amount
    rows = ours.rename_axis(columns="quantity").stack().rename("value").reset_index()
    return pd.concat([table, rows.assign(seed=0, module="", node=pd.NA)], ignore_index=True).astype({"node": "Int64"})


def pretrained(name: str, **changed: pd.DataFrame) -> Results:
    variants = PROJECT.variants(name)
    return made(
        name, {v: changed[v] if v in changed else matching(run.settings.model) for v, (run, _) in variants.items()}
    )


def test_matching_weights_and_negative_biases_support_the_whole_claim() -> None:
    results = {name: pretrained(name) for name in ("bn-bias-vgg", "bn-bias-all")} | {"small-overlap": small_overlap()}
    judgement = judge("small-overlap", CLAIM, results, "paper")
    assert judgement.outcomes == dict.fromkeys(CLAIM.checks, SUPPORTS)
    assert (judgement.verdict, judgement.note) == ("supported", "")
    effect, _ = judgement.effects["as-published"]
    assert (effect.estimate, effect.seeds) == (0, len(SHARES) + 4 * len(PUBLISHED_MOMENTS))


@pytest.mark.parametrize("variant", EVERY)
def test_a_single_missed_number_fails_the_check(variant: str) -> None:
    name, amount = ("positive", 1.0) if EVERY[variant] in set(SHARES["model"]) else ("bias_std", 0.0002)
    effect = as_published(pretrained("bn-bias-all", **{variant: matching(EVERY[variant], **{name: (3, amount)})}))
    assert (effect.estimate, effect.high) == (-1, -1)
    assert outcome(effect, CLAIM.checks["as-published"], CLAIM.min_seeds) == CONTRADICTS


def test_the_statistic_counts_the_layers_that_the_published_moments_decide() -> None:
    found = {}
    for model in ("vgg11_bn", "vgg16_bn"):
        low = share_bounds(by_layer(matching(model, weights=False).assign(model=model)))["low"]
        decided = (low > 0.5).tolist()
        assert decided == sorted(decided)  # the upper ones
        found[model] = f"{sum(decided)} of {len(decided)}"
    assert f"in {found['vgg11_bn']} layers of VGG11 and in {found['vgg16_bn']} of VGG16" in CLAIM.statistic


@pytest.mark.parametrize("model", ["vgg11", "vgg16"])
def test_a_network_with_few_negative_biases_fails_only_its_check(model: str) -> None:
    found = outcomes(pretrained("bn-bias-vgg", **{model: matching(f"{model}_bn", negative=0.4)}))
    assert found == dict.fromkeys(("vgg11", "vgg16"), SUPPORTS) | {model: CONTRADICTS}


def test_networks_with_weights_are_compared_and_the_others_are_named() -> None:
    lacking = {variant: matching(EVERY[variant], weights=False) for variant in ("vgg13", "resnet50")}
    results = pretrained("bn-bias-all", resnet18=matching("resnet18", positive=(0, 2.0)), **lacking)
    judgement = judge("small-overlap", CLAIM, {"bn-bias-all": results}, "paper")
    effect, result = judgement.effects["as-published"]
    without = SHARES[SHARES["model"] != "resnet50"], PUBLISHED_MOMENTS[PUBLISHED_MOMENTS["model"] != "vgg13_bn"]
    assert (result, effect.estimate, effect.seeds) == (CONTRADICTS, -1, len(without[0]) + 4 * len(without[1]))
    assert "for the weights of vgg13, resnet50, which are not compared" in judgement.note
    assert outcomes(pretrained("bn-bias-all", **lacking)) == {"as-published": SUPPORTS}


def test_without_any_weights_nothing_is_compared() -> None:
    lacking = {variant: matching(model, weights=False) for variant, model in EVERY.items()}
    with pytest.raises(LacksDataError, match=r"vgg16, so that there is nothing to compare; .* gets the weights"):
        as_published(pretrained("bn-bias-all", **lacking))
