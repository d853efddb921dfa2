"""Samples that networks are trained and measured on."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from luckmatters.settings.base import Model, Positive


class GausSamples(Model):
    """x ~ N(0, std² I)."""

    kind: Literal["gaus"]
    std: Annotated[float, Field(gt=0)]
    evaluation_samples: Annotated[int, Field(ge=2)]


class GausData(GausSamples):
    """The same to train on."""

    samples_per_epoch: Positive
    infinite: bool


class Cifar10Samples(Model):
    """Test images of CIFAR-10."""

    kind: Literal["cifar10"]
    evaluation_samples: Annotated[int, Field(ge=2)]


class Cifar10Data(Cifar10Samples):
    """CIFAR-10 to train on: each epoch that many of the training images, drawn anew; evaluation on test images."""

    samples_per_epoch: Positive
    augment: bool


def check_images(shape: tuple[int, ...], outputs: int) -> None:
    """Raises ValueError if a network of that shape cannot learn CIFAR-10."""
    if shape != (3, 32, 32) or outputs != 10:
        raise ValueError(f"CIFAR-10 needs inputs [3, 32, 32] and 10 outputs, got {list(shape)} and {outputs}")


def batches_fit(samples: int, batch: int, *, batch_norm: bool) -> None:
    """Raises ValueError if an epoch is smaller than a batch, or if BatchNorm would be given a batch of one."""
    if batch > samples:
        raise ValueError(f"a batch of {batch} is more than an epoch of {samples} samples; lower training.batch")
    if batch_norm and samples % batch == 1:
        raise ValueError(
            f"the last batch would hold one sample, which BatchNorm cannot normalize: samples_per_epoch {samples}, "
            f"batch {batch}; change one of them"
        )
