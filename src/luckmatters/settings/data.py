"""Samples that networks are trained and measured on."""

from typing import Literal

from pydantic import Field

from luckmatters.settings.base import Model, Positive


class GausSamples(Model):
    """Gaussian samples, x ~ N(0, std² I)."""

    kind: Literal["gaus"] = Field(description="Says that samples are Gaussian.")
    std: float = Field(gt=0, description="Standard deviation of every input (paper: 10).")
    evaluation_samples: int = Field(ge=2, description="Number of samples that networks are measured on.")


class GausData(GausSamples):
    """Gaussian samples to train on."""

    samples_per_epoch: Positive = Field(description="Number of training samples in an epoch.")
    infinite: bool = Field(description="`true`: new samples in every epoch. `false`: the same samples again and again.")


class Cifar10Samples(Model):
    """Test images of CIFAR-10."""

    kind: Literal["cifar10"] = Field(description="Says that samples are images of CIFAR-10.")
    evaluation_samples: int = Field(ge=2, description="Number of test images that networks are measured on.")


class Cifar10Data(Cifar10Samples):
    """Images of CIFAR-10: training images to train on, test images to evaluate on."""

    samples_per_epoch: Positive = Field(description="Number of training images in an epoch; every epoch draws anew.")
    augment: bool = Field(description="Whether training images are cropped and flipped at random.")


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
