"""The control of BatchNorm biases: claim and figure on networks whose shares are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.kinds.bn_bias.figures import bias_control
from luckmatters.kinds.bn_bias.roles import by_role
from luckmatters.kinds.bn_bias.run import tabulate
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, judge
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
VARIANTS = PROJECT.variants("bn-bias-control")
BLOCKS, CHANNELS = {"lite0": 16, "lite1": 21, "lite2": 21}, 200
Share = Callable[[str, str, int | None], float]  # of (variant, role, block)


def layers(blocks: int) -> list[tuple[str, str, int | None]]:
    """Module, role and block of the layers of a network, the lowest first."""
    roles = [("expansion", "_bn0"), ("depthwise", "_bn1"), ("projection", "_bn2")]
    inner = [
        (f"_blocks.{block}.{name}", role, block)
        for block in range(blocks)
        for role, name in roles
        if block or role != "expansion"
    ]
    return [("_bn0", "stem", None), *inner, ("_bn1", "head", None)]


def network(variant: str, share: Share) -> pd.DataFrame:
    """A table in which so large a share of the biases of a layer is negative, and the others are positive."""
    modules, *its = zip(*layers(BLOCKS[variant]), strict=True)
    negative = [round(CHANNELS * share(variant, role, block)) for role, block in zip(*its, strict=True)]
    norms = pd.DataFrame({"layer": range(len(modules)), "module": modules}).loc[lambda all: all.index.repeat(CHANNELS)]
    channel = np.tile(np.arange(CHANNELS), len(modules))
    bias = np.where(channel < np.repeat(negative, CHANNELS), -0.5, 1.5)
    return tabulate(norms.assign(channel=channel, weight=1.0, bias=bias), [])


def made(share: Share) -> Results:
    """Results of the experiment with these networks."""
    tables = [network(variant, share).assign(variant=variant, model=variant) for variant in VARIANTS]
    runs, labels = ({name: pair[i] for name, pair in VARIANTS.items()} for i in (0, 1))
    experiment = PROJECT.experiment("bn-bias-control")
    manifests = [(name, {"data": f"weights of {name}", "weights": {}, "no_weights": None}) for name in VARIANTS]
    return Results("bn-bias-control", experiment, "paper", pd.concat(tables), runs, labels, manifests, {}, {})


def judged(share: Share) -> tuple[dict[str, str], dict[str, float]]:
    """Outcomes and estimates of all checks."""
    claim = PROJECT.claims["bn-bias-control"]
    judgement = judge("bn-bias-control", claim, {"bn-bias-control": made(share)}, "paper")
    return judgement.outcomes, {check: effect.estimate for check, (effect, _) in judgement.effects.items()}


EVERYTHING = dict.fromkeys(PROJECT.claims["bn-bias-control"].checks, SUPPORTS)
MEANS = {"expansion": 0.9, "depthwise": 0.7, "projection": 0.5, "stem": 0.2, "head": 1.0}


def claimed(variant: str, role: str, block: int | None) -> float:
    """Shares as the claim has them, a little different in every block."""
    return MEANS[role] + 0.01 * np.sin(block or 0)


def test_shares_as_the_claim_has_them_support_every_check() -> None:
    outcomes, estimates = judged(claimed)
    assert outcomes == EVERYTHING
    # The lowest block has no expansion; 16 blocks in the smallest network, whose mean is the lowest.
    assert estimates["before-relu"] == pytest.approx((0.2 + 15 * 0.3) / 16, abs=3e-3)
    assert estimates["expansion"] == pytest.approx(0.4, abs=3e-3)
    assert estimates["depthwise"] == pytest.approx(0.2, abs=3e-3)
    assert estimates["upper-half"] == pytest.approx(0.3, abs=3e-3)
    assert estimates["most"] == pytest.approx((15 * 0.9 + 16 * 0.7 + 0.2 + 1.0) / 33, abs=3e-3)
    assert estimates["balanced"] == pytest.approx(0.1, abs=3e-3)


@pytest.mark.parametrize("variant", BLOCKS)
def test_a_network_that_does_not_differ_fails_the_core_check(variant: str) -> None:
    def same(name: str, role: str, block: int | None) -> float:
        return claimed(name, "projection" if name == variant else role, block)

    outcomes, _ = judged(same)
    assert outcomes["before-relu"] == CONTRADICTS  # no difference in any block
    assert outcomes["balanced"] == SUPPORTS


@pytest.mark.parametrize("share", [0.35, 0.65])
def test_a_share_without_relu_far_from_one_half_is_not_balanced(share: float) -> None:
    def unbalanced(name: str, role: str, block: int | None) -> float:
        return share + 0.01 * np.sin(block) if (name, role) == ("lite1", "projection") else claimed(name, role, block)

    outcomes, estimates = judged(unbalanced)
    assert outcomes["balanced"] == CONTRADICTS
    assert estimates["balanced"] == pytest.approx(-0.05, abs=3e-3)


def test_fewer_negative_biases_before_a_relu_in_lower_blocks_leave_the_upper_half_alone() -> None:
    def rises(name: str, role: str, block: int | None) -> float:
        lower = block is not None and block < BLOCKS[name] // 2 and role != "projection"
        return 0.05 if lower else claimed(name, role, block)

    outcomes, _ = judged(rises)
    assert (outcomes["before-relu"], outcomes["upper-half"]) == (UNDECIDED, SUPPORTS)


def test_roles_and_blocks_are_those_of_the_modules() -> None:
    found = by_role(network("lite0", claimed))
    expected = layers(16)
    assert found["role"].tolist() == [role for _, role, _ in expected]
    assert [None if pd.isna(block) else block for block in found["block"]] == [block for *_, block in expected]
    assert found["layer"].tolist() == list(range(49))
    with pytest.raises(KeyError):
        by_role(network("lite0", claimed).replace({"module": {"_bn1": "features.1"}}))


def test_bias_control_shows_every_layer() -> None:
    figure = bias_control.draw(made(claimed), {})
    columns = np.array(figure.axes).reshape(4, len(VARIANTS)).T
    for variant, (above, *below) in zip(VARIANTS, columns, strict=True):
        drawn = {line.get_marker(): line.get_ydata() for line in above.lines[1:]}
        for role, look in bias_control.LOOKS.items():
            shares = [100 * claimed(variant, role, block) for _, its, block in layers(BLOCKS[variant]) if its == role]
            np.testing.assert_allclose(drawn[look["marker"]], shares, atol=0.25 + 1e-9)  # half a channel of 200
        patches = [[patch.get_data() for patch in axes.patches] for axes in below]
        count = BLOCKS[variant]
        assert [len(pairs) for pairs in patches] == [2 * (count - 1 + 2), 2 * count, 2 * count]
        first, second = patches[2][:2]  # half of the lowest projection at −0.5, half at 1.5
        for data, at in ((first, -0.5), (second, 1.5)):
            bins = np.flatnonzero(data.values > data.baseline)
            assert [data.edges[i] <= at < data.edges[i + 1] for i in bins] == [True]
    (legend,) = figure.legends
    assert legend.get_title().get_text().endswith("+29, +29, +29 in the lower; +30, +30, +30 in the upper half.")
