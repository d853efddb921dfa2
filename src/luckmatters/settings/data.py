"""Samples that networks are trained and measured on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from luckmatters.settings.base import Model, Positive


class FiniteSet(Model):
    """A small set of samples that every epoch goes through, and what is done to the targets of the samples."""

    size: Positive = Field(description="Number of different samples; `samples_per_epoch` must be a multiple.")
    noise: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Standard deviation of Gaussian noise on targets, as a share of the spread of the teacher's "
        "outputs; a sample has the same noise in every epoch. Without this key, no noise.",
    )
    shuffled: bool | None = Field(
        None, description="Whether targets are permuted among the samples. Without this key, they are not."
    )


FINITE = Field(None, description="The training set, the same in every epoch. Without this key, as other keys say.")


class GausSamples(Model):
    """Gaussian samples, x ~ N(0, std² I)."""

    kind: Literal["gaus"] = Field(description="Says that samples are Gaussian.")
    std: float = Field(gt=0, description="Standard deviation of every input (paper: 10).")
    evaluation_samples: int = Field(ge=2, description="Number of samples that networks are measured on.")


class GausData(GausSamples):
    """Gaussian samples to train on."""

    samples_per_epoch: Positive = Field(description="Number of training samples in an epoch.")
    infinite: bool = Field(description="`true`: new samples in every epoch. `false`: the same samples again and again.")
    finite: FiniteSet | None = FINITE

    @model_validator(mode="after")
    def _finite_fits(self) -> "GausData":
        if self.finite and self.infinite:
            raise ValueError("finite: needs infinite: false; change one of them")
        check_passes(self.samples_per_epoch, self.finite)
        return self


class Cifar10Samples(Model):
    """Test images of CIFAR-10."""

    kind: Literal["cifar10"] = Field(description="Says that samples are images of CIFAR-10.")
    evaluation_samples: int = Field(ge=2, description="Number of test images that networks are measured on.")


class Cifar10Data(Cifar10Samples):
    """Images of CIFAR-10: training images to train on, test images to evaluate on."""

    samples_per_epoch: Positive = Field(description="Number of training images in an epoch; every epoch draws anew.")
    augment: bool = Field(description="Whether training images are cropped and flipped at random.")
    finite: FiniteSet | None = FINITE

    @model_validator(mode="after")
    def _finite_fits(self) -> "Cifar10Data":
        if self.finite and self.augment:
            raise ValueError("finite: needs augment: false, so that images stay the same; change one of them")
        check_passes(self.samples_per_epoch, self.finite)
        return self


def check_passes(samples: int, finite: FiniteSet | None) -> None:
    """Raises ValueError if an epoch of `samples` does not take every sample of a finite set equally often."""
    if finite and samples % finite.size:
        raise ValueError(f"samples_per_epoch {samples} is no multiple of finite.size {finite.size}; change one of them")


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
