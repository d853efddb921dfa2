"""The keys of config/config.yaml and config/scales/*.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from luckmatters.settings.base import Model, Name, Positive


class Cifar10Source(Model):
    """Where CIFAR-10 comes from."""

    source: Literal["auto", "torchvision", "root", "folder", "synthetic"] = Field(
        description="Form of the images. `auto` goes by what the path holds; without a path by `cifar10_default`."
    )
    path: str | None = Field(
        None,
        description="Folder or zip of images, or root of torchvision. The variable `LUCKMATTERS_CIFAR10` goes first.",
    )


class Settings(Model):
    """What is done by default; every key but `cifar10` can be given on the command line."""

    scale: Name = Field(description="How much is computed: the name of a file in config/scales.")
    device: Literal["cpu", "cuda"] = Field(description="Where networks are trained. All else runs on the CPU.")
    results: str = Field(description="Folder of intermediate results, relative to the current folder.")
    figures: str = Field(description="Folder of rendered figures, relative to the current folder.")
    cifar10: Cifar10Source = Field(description="The source of the images of CIFAR-10.")
    kept: Literal["auto", "only", "use", "ignore"] = Field(
        description="Results in data/kept: `only` shows nothing else, `use` computes what is not kept, `ignore` "
        "computes everything. `auto` goes by `kept_default`."
    )
    weights: Literal["auto", "torchvision", "published"] = Field(
        description="Pretrained networks: their weights, or published numbers. `auto` goes by `weights_default`."
    )


class Scale(Model):
    """How much is computed; the file's name is the scale's."""

    purpose: str = Field(description="What the scale is for, in a few words.")
    cifar10_default: Literal["torchvision", "synthetic"] = Field(
        description="Images where config/config.yaml names none: the original, downloaded, or made-up images."
    )
    cifar10_limit: Annotated[int, Field(ge=10)] | None = Field(
        description="Number of training images that are read, and a fifth as many test images; `null` reads all."
    )
    weights_default: Literal["torchvision", "published"] = Field(
        description="Pretrained networks where config/config.yaml says `auto`: their weights, or published numbers."
    )
    kept_default: Literal["only", "use", "ignore"] = Field(
        description="What is done with results in data/kept where config/config.yaml says `auto`."
    )
    seeds_per_job: Positive = Field(description="Number of seeds computed together in one job.")
    threads_per_job: Positive = Field(description="Number of threads of one job.")
    checkpoint_seconds: float = Field(
        ge=0, description="Seconds between checkpoints. A killed job loses this much at most, and an epoch."
    )
