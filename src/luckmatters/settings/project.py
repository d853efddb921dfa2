"""The keys of config/config.yaml and config/scales/*.yaml."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from luckmatters.settings.base import Model, Name, Positive


class Cifar10Source(Model):
    """Where CIFAR-10 comes from; ``auto`` goes by what the path is, or without one by the scale's own choice."""

    source: Literal["auto", "torchvision", "root", "folder", "synthetic"]
    path: str | None = None


class Settings(Model):
    """config/config.yaml."""

    scale: Name
    device: Literal["cpu", "cuda"]
    results: str
    figures: str
    cifar10: Cifar10Source
    weights: Literal["auto", "torchvision", "published"]


class Scale(Model):
    """config/scales/*.yaml."""

    purpose: str
    cifar10_default: Literal["torchvision", "synthetic"]
    cifar10_limit: Annotated[int, Field(ge=10)] | None
    weights_default: Literal["torchvision", "published"]
    seeds_per_job: Positive
    threads_per_job: Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]
