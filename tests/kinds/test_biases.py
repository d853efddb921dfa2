"""Signs of BatchNorm biases: counts, bounds, what was published, the figures and the claim that are made of them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from luckmatters import pretrained, reports
from luckmatters.config import Project
from luckmatters.drawing.style import layer_name
from luckmatters.errors import UserError
from luckmatters.jobs import verbs
from luckmatters.judging.statistics import LacksDataError
from luckmatters.judging.variants import this
from luckmatters.kinds.bn_bias.claims import as_published, negative_share
from luckmatters.kinds.bn_bias.figures import bias_histograms, bias_shares
from luckmatters.kinds.bn_bias.run import tabulate
from luckmatters.ledger import judge
from luckmatters.pretrained import Norms, UnreachableError, checkpoints
from luckmatters.reading import load
from luckmatters.science.biases import (
    MOMENTS,
    by_layer,
    compared,
    likely_negative_share,
    negative_share_bounds,
    share_bounds,
    signs,
)
from luckmatters.tables.results import Results

SHARES = pd.read_csv(ROOT / "data" / "published" / "pretrained-bias-shares.csv")
PUBLISHED_MOMENTS = pd.read_csv(ROOT / "data" / "published" / "pretrained-norm-moments.csv")
VGGS, RESNETS = ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"], ["resnet18", "resnet34", "resnet50", "resnet101"]


def published_of(model: str) -> list[pd.DataFrame]:
    tables = [table[table["model"] == model] for table in (SHARES, PUBLISHED_MOMENTS)]
    return [table for table in tables if len(table)]


# --- the published tables --------------------------------------------------------------------------------------------


def test_published_shares_are_counts_divided_by_channels() -> None:
    assert ((SHARES["not_positive"] >= 0) & (SHARES["not_positive"] <= SHARES["channels"])).all()
    percent = 100 * SHARES["not_positive"] / SHARES["channels"]
    np.testing.assert_allclose(SHARES["percent"], percent, rtol=0, atol=0.005 + 1e-9)  # printed to two decimals


@pytest.mark.parametrize("model", VGGS + RESNETS)
def test_published_layers_are_those_of_the_network_in_order(model: str) -> None:
    layers = checkpoints.norm_layers(model)
    for table in published_of(model):
        assert table["layer"].tolist() == list(range(len(layers)))
        assert list(zip(table["module"], table["channels"], strict=True)) == layers


def test_published_tables_and_experiments_have_the_same_networks() -> None:
    project = Project(ROOT)
    models = {run.settings.model for name in ("bn-bias-vgg", "bn-bias-all") for run in project.own_runs(name).values()}
    assert models == {*SHARES["model"], *PUBLISHED_MOMENTS["model"]} == {*VGGS, *RESNETS}


def test_norms_whose_outputs_are_added_have_equal_published_shares() -> None:
    """A downsampling branch's BatchNorm is added to the last one of its block: equal gradients keep equal biases."""
    counts = SHARES.set_index(["model", "module"])["not_positive"]
    branches = SHARES[SHARES["module"].str.contains("downsample")]
    assert len(branches) == 3 + 3 + 4 + 4
    for row in branches.itertuples():
        last = "bn2" if row.model in ("resnet18", "resnet34") else "bn3"
        assert row.not_positive == counts[row.model, row.module.replace("downsample.1", last)]


def test_published_shares_of_vgg19_lie_within_the_bounds_of_published_moments() -> None:
    both = SHARES.merge(PUBLISHED_MOMENTS, on=["model", "layer", "module", "channels"])
    assert len(both) == 16
    for row in both.itertuples():
        low, high = negative_share_bounds(row.bias_mean, row.bias_std, rounding=0.0005)
        assert low <= row.not_positive / row.channels <= high


# --- counts and bounds -----------------------------------------------------------------------------------------------


def test_zeros_are_neither_negative_nor_positive() -> None:
    bias = np.array([[-1.0, 0.0, -0.0, 2.0, -1e-45], [1.0, 1.0, 1.0, 1.0, 1.0]], dtype=np.float32)
    found = {name: count.tolist() for name, count in signs(bias).items()}
    assert found == {"channels": [5, 5], "negative": [2, 0], "zero": [2, 0], "positive": [1, 5]}


@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold_for_any_values(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.choice([-3.0, -1.0, 0.0, 0.5, 2.0], size=generator.integers(2, 40)) * generator.uniform(0.1, 2)
    for ddof in (0, 1):
        mean, std = values.mean().round(3), values.std(ddof=ddof).round(3)
        low, high = negative_share_bounds(mean, std, rounding=0.0005)
        assert low <= (values < 0).mean() <= high
        assert low <= likely_negative_share(mean, std) <= high


def test_equal_values_are_all_negative_or_all_nonnegative() -> None:
    assert [likely_negative_share(mean, 0.0) for mean in (-0.1, 0.0, 0.1)] == [1.0, 0.0, 0.0]


def test_bounds_are_reached() -> None:
    """Cantelli's inequality is tight: one value in four at zero, the others equal below it."""
    values = np.array([0.0, -1.0, -1.0, -1.0])
    assert negative_share_bounds(values.mean(), values.std()) == (pytest.approx(0.75), 1.0)
    assert negative_share_bounds(0.0, 1.0) == (0.0, 1.0)


# --- the table -------------------------------------------------------------------------------------------------------


@cache
def norms_of(model: str, *, zeros: int = 1) -> pd.DataFrame:
    """Random norms of the model's architecture; the first biases of every layer are zero."""
    generator, frames = np.random.default_rng(0), []
    for layer, (module, channels) in enumerate(checkpoints.norm_layers(model)):
        weight, bias = generator.normal(-0.1, 0.2, (2, channels)).astype(np.float32)
        bias[:zeros] = 0
        frame = pd.DataFrame({"layer": layer, "module": module, "channel": range(channels)})
        frames.append(frame.assign(weight=weight, bias=bias))
    return pd.concat(frames, ignore_index=True)


def published_from(norms: pd.DataFrame) -> list[pd.DataFrame]:
    """What others would publish of these norms."""
    groups = norms.groupby(["layer", "module"])
    channels = groups.size().rename("channels").reset_index()
    counts = groups["bias"].agg(lambda bias: (~(bias > 0)).sum()).rename("not_positive").reset_index()
    moments = groups[["bias", "weight"]].agg(["mean", "std"]).round(3)
    moments.columns = ["_".join(column) for column in moments.columns]
    return [channels.merge(counts), channels.merge(moments.reset_index())]


def test_the_table_has_every_channel_and_every_layer() -> None:
    norms = norms_of("vgg11_bn", zeros=2)
    table = tabulate(norms, published_of("vgg11_bn"))
    for quantity in ("bias", "weight"):
        rows = table[table["quantity"] == quantity]
        np.testing.assert_array_equal(rows["value"].to_numpy(np.float32), norms[quantity].to_numpy())
        for ours, theirs in (("layer", "layer"), ("module", "module"), ("node", "channel")):
            assert rows[ours].tolist() == norms[theirs].tolist()
    layers, groups = by_layer(table), norms.groupby("layer")
    assert layers["channels"].tolist() == groups.size().tolist()
    signs_of = groups["bias"].agg(negative=lambda b: (b < 0).sum(), positive=lambda b: (b > 0).sum())
    assert layers[["negative", "positive"]].to_numpy().tolist() == signs_of.to_numpy().tolist()
    assert (layers["zero"] == 2).all()
    for name in MOMENTS:
        key, moment = name.split("_")
        np.testing.assert_allclose(layers[name], groups[key].agg(moment), rtol=1e-5)
    assert layers["published_bias_mean"].tolist() == published_of("vgg11_bn")[0]["bias_mean"].tolist()


def test_without_weights_the_table_has_the_published_numbers() -> None:
    layers = by_layer(tabulate(None, published_of("vgg19_bn")))
    assert {*layers} == {"channels", "published_not_positive", *(f"published_{name}" for name in MOMENTS)}
    assert layers["published_not_positive"].iloc[-1] == layers["channels"].iloc[-1] == 512  # 100 % in the last layer


def test_published_numbers_are_met_by_the_published_rule() -> None:
    norms = norms_of("vgg11_bn", zeros=3)
    found = compared(by_layer(tabulate(norms, published_from(norms))))
    assert len(found) == 8 * 5
    assert found["met"].all()
    strictly = norms.assign(bias=norms["bias"].where(norms["bias"] != 0, 1e-30))  # zeros no longer count
    missed = compared(by_layer(tabulate(strictly, published_from(norms))))
    assert missed.query("not met")["quantity"].tolist() == ["not_positive"] * 8


@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_that_differs_in_the_last_decimal_is_not_met(name: str) -> None:
    norms = norms_of("vgg11_bn")
    shares, moments = published_from(norms)
    moments.loc[5, name] += 0.001
    found = compared(by_layer(tabulate(norms, [shares, moments]))).query("not met")
    assert list(zip(found["layer"], found["quantity"], strict=True)) == [(5, name)]


# --- figures and the claim -------------------------------------------------------------------------------------------


def extract(name: str, read) -> Results:
    """An experiment's results; read: what stands for the reading of weights, None if they are not asked for."""
    project = Project(ROOT, weights="published" if read is None else "auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "read", read)
        for run, _ in project.variants(name).values():
            verbs.extract(project, run.experiment, run.variant, run.seeds)
    return load(project, name)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """:func:`extract`, once for all tests, in a folder for each way of reading; the folder stays the current one."""
    folders, done = {}, {}

    def extracted(name: str, read, monkeypatch: pytest.MonkeyPatch) -> Results:
        if read not in folders:
            folders[read] = tmp_path_factory.mktemp("extracted")
        monkeypatch.chdir(folders[read])
        if (name, read) not in done:
            done[name, read] = extract(name, read)
        return done[name, read]

    return extracted


def given(model: str, *, kept: list) -> Norms:
    return Norms(norms_of(model), {"model": model, "weights": "X", "checkpoint": f"{model}.pth", "sha256": "0" * 64})


def unreachable(model: str, *, kept: list) -> Norms:
    raise UnreachableError(f"{model}.pth", "Name or service not known")


def small_print(figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_panels_show_the_table(extracted, monkeypatch: pytest.MonkeyPatch) -> None:
    results = extracted("bn-bias-vgg", given, monkeypatch)
    figure = bias_histograms.draw(results, {})
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 8 + 13
    expected = [one for model in ("vgg11_bn", "vgg16_bn") for one in norms_of(model).groupby("layer")["bias"]]
    for axes, (layer, bias) in zip(panels, expected, strict=True):
        bias = bias.to_numpy()
        negative, rest = (np.array([bar.get_height() for bar in bars]) for bars in axes.containers)
        edges = np.linspace(-1, 0.5, 51)
        np.testing.assert_array_equal(negative + rest, np.histogram(bias.clip(-1, 0.5).astype(float), edges)[0])
        assert (negative.sum(), rest.sum()) == ((bias < 0).sum(), (bias >= 0).sum())
        assert axes.get_title() == f"{layer_name(layer)}\n{(bias < 0).mean():.1%} negative, 1 zero"
    text = small_print(figure)
    assert "vgg11_bn, torchvision X (vgg11_bn.pth, sha256 000000000000…)" in text
    assert "STAND IN" not in text
    assert "Published numbers that the weights give: 1 of 84 means" in text  # random norms, one by chance


def test_without_network_figure_and_provenance_say_so(extracted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)  # nobody looks at the pictures
    for name, layout in (("bn-bias-vgg", bias_histograms), ("bn-bias-all", bias_shares)):
        text = small_print(layout.draw(extracted(name, unreachable, monkeypatch), {}))
        reports.figure(Project(ROOT), name)
        assert "PUBLISHED NUMBERS STAND IN FOR THE WEIGHTS of" in text
        assert "no download: Name or service not known." in text
        assert "`weights=torchvision` after `--config` (beside the scale) gets the weights" in text
        data = json.loads(Path("figures", "laptop", f"{name}.json").read_text())["data"]
        assert all(one.startswith("published numbers of ") and "not its weights" in one for one in data)


def test_published_numbers_by_choice_are_named_as_a_choice(extracted, monkeypatch: pytest.MonkeyPatch) -> None:
    results = extracted("bn-bias-vgg", None, monkeypatch)
    assert "`weights` is set to published" in small_print(bias_histograms.draw(results, {}))


def test_only_an_unreachable_network_lets_published_numbers_stand_in(
    extracted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(model: str, *, kept: list) -> Norms:
        raise UserError("cut short")

    with pytest.raises(UserError, match="cut short"):
        extracted("bn-bias-vgg", damaged, monkeypatch)
    monkeypatch.setattr(pretrained, "read", unreachable)
    with pytest.raises(UnreachableError):
        verbs.extract(Project(ROOT, weights="torchvision"), "bn-bias-vgg", "vgg11", [0])


def test_the_claim_counts_strictly_and_compares_as_published(extracted, monkeypatch: pytest.MonkeyPatch) -> None:
    results = extracted("bn-bias-vgg", given, monkeypatch)
    effect, bias = negative_share(results, this(results, "vgg16")), norms_of("vgg16_bn")["bias"]
    assert effect.estimate == effect.low == effect.high == pytest.approx((bias < 0).mean())
    assert effect.seeds == 4224
    every = extracted("bn-bias-all", given, monkeypatch)
    missed = as_published(every)
    numbers = sum(len(table) for table in (SHARES, *[PUBLISHED_MOMENTS] * 4))
    assert missed.seeds == numbers
    assert missed.estimate < -0.9 * numbers  # random norms


def test_without_weights_the_claim_rests_on_bounds_and_says_so(extracted, monkeypatch: pytest.MonkeyPatch) -> None:
    results = {name: extracted(name, unreachable, monkeypatch) for name in ("bn-bias-vgg", "bn-bias-all")}
    for model in ("vgg11", "vgg16"):
        effect = negative_share(results["bn-bias-vgg"], this(results["bn-bias-vgg"], model))
        assert 0.5 < effect.low < effect.estimate < effect.high <= 1
    with pytest.raises(LacksDataError, match=r"vgg16, so that there is nothing to compare; .*weights=torchvision"):
        as_published(results["bn-bias-all"])
    claim = Project(ROOT).claims["small-overlap"]
    judgement = judge("small-overlap", claim, results, "laptop")
    assert judgement.verdict == "undecided"  # our own network, the third core check, is missing
    assert "published numbers stand in for the weights of" in judgement.note
    assert judgement.outcomes == {"vgg11": "supports", "vgg16": "supports"}


def test_bounds_of_a_network_combine_all_layers() -> None:
    layers = by_layer(tabulate(None, published_of("vgg19_bn")))
    bounds = share_bounds(layers)
    published = layers["published_not_positive"] / layers["channels"]
    assert ((bounds["low"] <= published) & (published <= bounds["high"])).all()
