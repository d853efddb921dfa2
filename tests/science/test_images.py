"""CIFAR-10 as samples: crops, flips and normalization against torchvision, and the independence of seeds."""

import numpy as np
import pytest
import torch

from luckmatters.science.images import MEAN, PADDING, STD, Cifar10, crop_and_flip, crops, normalize
from luckmatters.torchvision_shim import import_torchvision

import_torchvision()
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional  # noqa: E402


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def cifar10(samples: int = 100, augment: bool = True) -> Cifar10:
    labels = torch.arange(150) % 10
    return Cifar10(pictures(150), labels, pictures(60, 1), labels[:60], samples, augment, batch=32)


def epoch(data: Cifar10, seeds: list[int], number: int) -> tuple[torch.Tensor, torch.Tensor]:
    samples, labels = zip(*data.batches(seeds, number), strict=True)
    return torch.cat(samples, 2), torch.cat(labels, 1)


def test_crops_and_flips_equal_torchvisions_on_the_same_numbers() -> None:
    images, stream = pictures(50), np.random.default_rng(0)
    chosen = stream.integers(0, 50, 200)
    top, left = stream.integers(0, 2 * PADDING + 1, (2, 200))
    flip = stream.integers(0, 2, 200).astype(bool)
    found = crop_and_flip(crops(images), *map(torch.from_numpy, (chosen, top, left, flip)))
    for one, i, row, column, mirror in zip(found, chosen, top, left, flip, strict=True):
        expected = functional.crop(functional.pad(images[i], [PADDING] * 4), row, column, 32, 32)
        assert torch.equal(one, functional.horizontal_flip(expected) if mirror else expected)


def test_normalization_equals_torchvisions() -> None:
    images = pictures(20)
    transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    expected = transform(images).flatten(1).T
    torch.testing.assert_close(normalize(images), expected, rtol=1e-5, atol=1e-6)


def test_every_shift_and_both_directions_are_about_equally_frequent() -> None:
    data = cifar10()
    draws = [data._draw(0, number) for number in range(400)]  # 40,000 images
    for values, kinds in (
        (torch.cat([draw[1] for draw in draws]), 9),
        (torch.cat([draw[2] for draw in draws]), 9),
        (torch.cat([draw[3] for draw in draws]).long(), 2),
    ):
        counts = values.bincount(minlength=kinds)
        assert len(counts) == kinds
        expected = len(values) / kinds
        # Five standard deviations of a binomial count.
        assert (counts - expected).abs().max() < 5 * (expected * (1 - 1 / kinds)) ** 0.5


@pytest.mark.parametrize("augment", [False, True])
def test_an_epoch_has_different_images_with_their_labels(augment: bool) -> None:
    data = cifar10(augment=augment)
    samples, labels = epoch(data, [0, 1], 3)
    assert samples.shape == (2, 3072, 100)
    for seed in (0, 1):
        order = data._draw(seed, 3)[0]
        assert len(set(order.tolist())) == 100
        assert torch.equal(labels[seed], data.train_labels[order])
        if not augment:
            assert torch.equal(samples[seed], normalize(data.train_images[order]))
    assert [x.shape[2] for x in data.blocks([0], 0)] == [32, 32, 32, 4]


def test_training_images_are_cropped_and_flipped_as_drawn() -> None:
    data = cifar10()
    samples, _ = epoch(data, [7], 1)
    expected = crop_and_flip(crops(data.train_images), *data._draw(7, 1))
    assert torch.equal(samples[0], normalize(expected))
    assert not torch.equal(samples[0], normalize(data.train_images[data._draw(7, 1)[0]]))


@pytest.mark.parametrize("augment", [False, True])
def test_a_seeds_samples_do_not_depend_on_the_batch_of_seeds(augment: bool) -> None:
    together, alone = (epoch(cifar10(augment=augment), seeds, 2) for seeds in ([0, 1, 2], [1]))
    for many, one in zip(together, alone, strict=True):
        assert torch.equal(many[1:2], one)
    assert not torch.equal(together[1][0], together[1][1])


def test_every_epoch_has_its_own_order_and_crops() -> None:
    data = cifar10()
    assert not torch.equal(data._draw(0, 0)[0], data._draw(0, 1)[0])
    assert not torch.equal(data._draw(0, 0)[1], data._draw(0, 1)[1])


def test_evaluation_images_are_the_same_for_every_seed_and_not_augmented() -> None:
    data = cifar10()
    samples, labels = data.evaluation_set([4, 5], 60)
    assert samples.shape == (1, 3072, 60)
    again = data.evaluation_set([0], 60)
    assert torch.equal(samples, again[0])
    assert sorted(map(tuple, samples[0].T.tolist())) == sorted(map(tuple, normalize(data.test_images).T.tolist()))
    assert torch.equal(labels.bincount(), data.test_labels.bincount())


def test_asking_for_more_images_than_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"151 images an epoch are asked for, but there are 150"):
        cifar10(samples=151)
    with pytest.raises(ValueError, match=r"61 evaluation images are asked for, but there are 60"):
        cifar10().evaluation_set([0], 61)
