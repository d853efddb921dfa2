"""CIFAR-10 as a source of samples: crop, flip and normalization as tensor operations (paper, Section 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.finite import FiniteSet
from luckmatters.science.random import generator

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # of each channel, for pixels in [0, 1]
PADDING = 4  # zeros around an image before it is cropped to its own size again


def crops(images: Tensor) -> Tensor:
    """All crops of images and mirror images, (2 N, 2 · PADDING + 1, 2 · PADDING + 1, C, H, W).

    images: (N, C, H, W), padded with zeros. The first three axes of the crops are image (mirror images come last), top
    and left. The crops are a view of 2 N padded images.
    """
    count, channels, height, width = images.shape
    padded = images.new_zeros(2 * count, channels, height + 2 * PADDING, width + 2 * PADDING)
    inner = padded[:, :, PADDING:-PADDING, PADDING:-PADDING]
    inner[:count], inner[count:] = images, images.flip(3)
    return padded.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)


def crop_and_flip(crops: Tensor, image: Tensor, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Crops of images at (top, left), mirrored afterwards where flip is true, (B, C, H, W).

    crops: see :func:`crops`; image, top, left: integers, (B,); flip: bool, (B,).
    """
    mirrored_left = 2 * PADDING - left  # a mirrored crop is a crop of the mirrored image
    index = image + flip * (len(crops) // 2), top, torch.where(flip, mirrored_left, left)
    if crops.is_cpu:  # NumPy gathers blocks four times as fast
        return torch.from_numpy(crops.numpy()[tuple(axis.numpy() for axis in index)])
    return crops[index]


@cache
def _affine(device: torch.device) -> tuple[Tensor, Tensor]:
    """The factor and the subtracted shift that normalize pixels as bytes, both (3, 1, 1)."""
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (MEAN, STD))
    return 1 / (255 * std), mean / std


def normalize(images: Tensor, out: Tensor | None = None) -> Tensor:
    """Normalized samples (C·H·W, N), float32: pixels in [0, 1], minus the channel's mean, over the channel's std.

    images: (N, C, H, W), uint8; out: memory for the result, (N, C, H, W), float32, or None for new memory. The result
    is a view in which each image stays whole. Matrix products read the view as fast as a transposed copy, which would
    take as long as all the rest.
    """
    scale, shift = _affine(images.device)
    pixels = images.float() if out is None else out.copy_(images)
    return pixels.mul_(scale).sub_(shift).flatten(1).T


@dataclass(frozen=True)
class Cifar10:
    """The images and labels of CIFAR-10; each seed draws a separate order, crops and flips.

    train_images, test_images: (N, 3, 32, 32), uint8.
    train_labels, test_labels: (N,), int64.
    samples: the number of images in an epoch, drawn without repetition.
    augment: whether training images are cropped and flipped.
    batch: the number of images in a step.
    finite: each seed's set of images, the same in every epoch; None: every epoch draws from all images.
    Raises ValueError if there are fewer training images than an epoch needs.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    samples: int
    augment: bool
    batch: int
    finite: FiniteSet | None = None

    def __post_init__(self) -> None:
        different = self.finite.size if self.finite else self.samples
        if different > len(self.train_images):
            raise ValueError(f"{different} images an epoch are asked for, but there are {len(self.train_images)}")

    @cached_property
    def _crops(self) -> Tensor:
        return crops(self.train_images)

    def batches(self, seeds: Sequence[int], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The samples (S, 3·32·32, B) and labels (S, B) of each batch of an epoch."""
        draws = [zip(*(draw.split(self.batch) for draw in self._draw(seed, epoch)), strict=True) for seed in seeds]
        for parts in zip(*draws, strict=True):  # of each seed: image, top, left and flip of a batch
            shape = len(seeds), len(parts[0][0]), *self.train_images.shape[1:]
            pixels = torch.empty(shape, device=self.train_images.device)
            for images, part in zip(pixels, parts, strict=True):
                normalize(crop_and_flip(self._crops, *part), out=images)
            yield pixels.flatten(2).transpose(1, 2), torch.stack([self.train_labels[order] for order, *_ in parts])

    def blocks(self, seeds: Sequence[int], epoch: int) -> Iterator[Tensor]:
        """The samples (S, 3·32·32, B) of each batch of an epoch."""
        for samples, _ in self.batches(seeds, epoch):
            yield samples

    def check_evaluation(self, samples: int) -> None:
        """Raise ValueError if there are fewer test images than `samples`."""
        if samples > len(self.test_images):
            raise ValueError(f"{samples} evaluation images are asked for, but there are {len(self.test_images)}")

    def evaluation_set(self, seeds: Sequence[int], samples: int) -> tuple[Tensor, Tensor]:
        """Test images as samples (1, 3·32·32, N) and the labels (N,): the same for all seeds and at every call.

        samples: N. Raises ValueError if there are fewer test images.
        """
        self.check_evaluation(samples)
        chosen = torch.from_numpy(generator("cifar10-evaluation").permutation(len(self.test_images))[:samples])
        chosen = chosen.to(self.test_images.device)
        return normalize(self.test_images[chosen])[None], self.test_labels[chosen]

    def training_set(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Each seed's finite set as samples (S, 3·32·32, N) and labels (S, N)."""
        chosen = torch.stack([self._chosen(seed) for seed in seeds])
        samples = torch.stack([normalize(self.train_images[images]).T for images in chosen])  # images stay whole
        return samples.transpose(1, 2), self.train_labels[chosen]

    def order(self, seeds: Sequence[int], epoch: int) -> Tensor:
        """The images of a finite set in the order of an epoch: indices, (S, samples)."""
        orders = [self.finite.order(generator("cifar10-order", seed, epoch), self.samples) for seed in seeds]
        return torch.stack(orders).to(self.train_images.device)

    def _chosen(self, seed: int) -> Tensor:
        """The images of a seed's finite set, (N,)."""
        images = generator("cifar10-finite", seed).permutation(len(self.train_images))[: self.finite.size]
        return torch.from_numpy(images).to(self.train_images.device)

    def _draw(self, seed: int, epoch: int) -> list[Tensor]:
        """The images of an epoch in their order, and the top, left and flip of each image: four tensors (samples,)."""
        if self.finite:
            order = self._chosen(seed)[self.order([seed], epoch)[0]]
        else:
            stream = generator("cifar10-order", seed, epoch)
            order = torch.from_numpy(stream.permutation(len(self.train_images))[: self.samples])
        if self.augment:
            stream = generator("cifar10-augment", seed, epoch)
            top, left = stream.integers(0, 2 * PADDING + 1, (2, self.samples))
            flip = stream.integers(0, 2, self.samples).astype(np.bool_)
        else:
            top = left = np.full(self.samples, PADDING)
            flip = np.zeros(self.samples, np.bool_)
        return [torch.as_tensor(draw).to(self.train_images.device) for draw in (order, top, left, flip)]
