"""The workflow with pretrained networks: committed tables; published numbers where there is no network."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Checkout

from luckmatters import pretrained
from luckmatters.artefacts import pretrained_folders
from luckmatters.pretrained import checkpoints

NOBODY = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # nobody answers there
MODELS = ("vgg11_bn", "vgg16_bn")


def commit_table(checkout: Checkout, model: str) -> None:
    """A made-up table of the model's BatchNorm, as one that is committed with the project."""
    generator, frames = np.random.default_rng(0), []
    for layer, (module, channels) in enumerate(checkpoints.norm_layers(model)):
        weight, bias = generator.normal([[0.3], [-0.1 - 0.03 * layer]], 0.15, (2, channels)).astype(np.float32)
        frame = pd.DataFrame({"layer": layer, "module": module, "channel": range(channels)})
        frames.append(frame.assign(weight=weight, bias=bias))
    name = Path(checkpoints.checkpoint_url(model)).name
    origin = {"model": model, "weights": "IMAGENET1K_V1", "checkpoint": name, "sha256": "0" * 64, "torchvision": "0"}
    folder, _ = pretrained_folders(checkout.folder, model)
    pretrained.keep(folder, pretrained.Norms(pd.concat(frames, ignore_index=True), origin))


def data_of(checkout: Checkout, scale: str) -> list[str]:
    return json.loads((checkout.folder / "figures" / scale / "bn-bias-vgg.json").read_text())["data"]


def test_committed_tables_stand_for_the_weights(checkout: Checkout, tmp_path: Path) -> None:
    for model in MODELS:
        commit_table(checkout, model)
    target, alone = ("--", "figures/ci/bn-bias-vgg.json"), {**NOBODY, "TORCH_HOME": str(tmp_path)}
    config = ("--config", "scale=ci", "weights=torchvision")
    checkout.snakemake(*config, *target, **alone)
    assert data_of(checkout, "ci") == [
        f"{model}, torchvision IMAGENET1K_V1 ({file}, sha256 000000000000…)"
        for model, file in zip(MODELS, ("vgg11_bn-6002323d.pth", "vgg16_bn-6c64b313.pth"), strict=True)
    ]
    assert checkout.planned(*config, *target) == {}
    # At this scale the default is to read no weights.
    assert checkout.planned("--config", "scale=ci", *target) == {"extract_biases": 2, "draw_figure": 1}
    checkout.snakemake("--config", "scale=ci", *target, **alone)
    assert data_of(checkout, "ci") == [
        f"published numbers of {one}, not its weights (scale ci reads none)" for one in MODELS
    ]


def test_without_network_the_default_completes_and_says_so(checkout: Checkout, tmp_path: Path) -> None:
    target, alone = ("--", "figures/laptop/bn-bias-vgg.json"), {**NOBODY, "TORCH_HOME": str(tmp_path)}
    done = checkout.snakemake(*target, **alone)
    assert "vgg16_bn-6c64b313.pth cannot be downloaded (Connection refused); connect to the network, or" in done.stderr
    for model, data in zip(MODELS, data_of(checkout, "laptop"), strict=True):
        assert data == f"published numbers of {model}, not its weights (no download: Connection refused)"
    assert checkout.planned(*target) == {}
    checkout.snakemake("--report", "report.html", *target)
    caption = (checkout.folder / "report.html").read_text(encoding="utf-8")
    assert "stand in for the weights of vgg11_bn, vgg16_bn (no download: Connection refused)" in caption
    forced = ("--config", "weights=torchvision")
    assert checkout.planned(*forced, *target) == {"extract_biases": 2, "draw_figure": 1}
    done = checkout.snakemake(*forced, *target, status=1, **alone)
    assert "luckmatters: error: vgg11_bn-6002323d.pth cannot be downloaded (Connection refused)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_weights_setting_gives_a_one_line_error(checkout: Checkout) -> None:
    done = checkout.run("luckmatters", "--weights", "mine", "check", status=2)
    assert "weights: must be 'auto', 'torchvision' or 'published', got 'mine'" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("model: vgg11_bn}", "model: vgg12_bn}", "model: must be 'vgg11_bn', "),
        (
            "layout: bias-histograms",
            "layout: overlap-grid",
            "overlap-grid draws the kind student-training, not",
        ),
    ],
)
def test_a_wrong_experiment_gives_a_one_line_error(checkout: Checkout, old: str, new: str, words: str) -> None:
    checkout.edit("config/experiments/bn-bias-vgg.yaml", old, new)
    done = checkout.run("luckmatters", "check", status=2)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_network_that_hides_what_fires_is_refused(checkout: Checkout) -> None:
    checkout.edit("config/teachers.yaml", "  norm: before\n", "  norm: after\n")
    done = checkout.run("luckmatters", "check", status=2)
    assert "teacher.name: cifar-conv-norm-before: BatchNorm after the ReLU hides which nodes fire" in done.stderr
    checkout.edit("config/teachers.yaml", "  norm: after\n", "  norm: within\n")
    assert "norm: must be 'after' or 'before', got 'within'" in checkout.run("luckmatters", "check", status=2).stderr
