"""How large a learning rate the output layer allows before training.

    LUCKMATTERS_CIFAR10=… python investigations/stability.py

Gradient descent on the mean squared error of a linear layer is stable below outputs / λ, where λ is the greatest
eigenvalue of the features' second moments (the loss is a mean over outputs, hence the factor). The features are those
of the last hidden layer at initialization; deeper layers and training itself lower the limit further. BatchNorm's
scales start at 1, or are drawn uniformly from [0, 1], as torch did before its version 1.2, of the year of the paper.

Behind docs/notes.md: "with the published ConvNet on GAUS it is 0.045 without BatchNorm and 0.09 with it";
config/experiments/gaus-conv.yaml: "so narrow an output layer is stable up to 0.75";
config/experiments/cifar-fc.yaml: "the output layer alone is stable below 0.13 before training";
and config/experiments/cifar-conv.yaml: "at which the output layer is stable before training, which is 0.0005".
Output: stability.txt.
"""

from typing import Literal

import torch
from _shared import images, parser
from torch import Tensor

from luckmatters.science.data import Gaus
from luckmatters.science.images import normalize
from luckmatters.science.layers import as_nodes, by_channel, forward
from luckmatters.science.networks import BATCH_NORM_EPS, initialize_students

Scales = Literal["ones", "uniform"] | None

FC, CONV = [50, 75, 100, 125], [64, 64, 64, 64]


def features(x: Tensor, inputs: tuple[int, ...], widths: list[int], kernel: int | None, scales: Scales) -> Tensor:
    """The last hidden layer of one student on samples (1, n_in, N), in training mode: (n, N).

    scales: those of BatchNorm, None without it.
    """
    student = initialize_students(inputs, [*widths, 1], seeds=[0], kernel=kernel)
    draws = torch.Generator().manual_seed(0)
    for weight, bias in zip(student.weights[:-1], student.biases[:-1], strict=True):
        x = forward(weight, bias, x).relu_()
        if scales:
            scale = torch.rand(weight.shape[1], generator=draws) if scales == "uniform" else torch.ones(weight.shape[1])
            normed = torch.nn.functional.batch_norm(by_channel(x), None, None, scale, training=True, eps=BATCH_NORM_EPS)
            x = normed.view(x.shape)
    return as_nodes(x, 1)[0]


def limit(features: Tensor, outputs: int) -> float:
    """The greatest stable learning rate."""
    gram = features.T @ features / features.shape[1]  # (N, N): the eigenvalues of the second moments, but smaller
    return outputs / torch.linalg.eigvalsh(gram)[-1].item()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=64)
    given = options.parse_args()
    count, wide = (2, 1) if given.smallest else (given.samples, 10)
    read = images(smallest=given.smallest, limit=max(1000, count))
    order = torch.randperm(len(read.train_images), generator=torch.Generator().manual_seed(0))[:count]
    pictures = normalize(torch.from_numpy(read.train_images)[order])[None]
    vectors, fields = (Gaus(n, 10.0, count, True, count).evaluation_set([0], count)[0] for n in (20, 256))
    print(f"{read.description}; {count} samples\n")
    print("| students | without BatchNorm | with BatchNorm | scales from [0, 1] |\n| --- | --- | --- | --- |")
    for name, x, inputs, widths, kernel, outputs in (
        (f"gaus-fc, m = {wide}", vectors, (20,), [wide * n for n in FC], None, 100),
        (f"gaus-conv, m = {wide}", fields, (1, 16, 16), [wide * n for n in CONV], 3, 100),
        ("gaus-conv, 8 channels, m = 4", fields, (1, 16, 16), [32] * 4, 3, 100),
        (f"cifar-fc, m = {wide}", pictures, (3, 32, 32), [wide * n for n in FC], None, 10),
        (f"cifar-conv, m = {wide}", pictures, (3, 32, 32), [wide * n for n in CONV], 3, 10),
        ("cifar-conv, 8 channels, m = 2", pictures, (3, 32, 32), [16] * 4, 3, 10),
    ):
        every: tuple[Scales, ...] = (None, "ones", "uniform")
        limits = [f"{limit(features(x, inputs, widths, kernel, scales), outputs):.2g}" for scales in every]
        print(f"| {' | '.join([name, *limits])} |", flush=True)


if __name__ == "__main__":
    main()
