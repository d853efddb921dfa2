"""Which schedule suits the ConvNet teacher: accuracy on training images held out; test images are not looked at.

    LUCKMATTERS_CIFAR10=… python investigations/held_out.py --device cuda

The teacher `cifar-conv` as the paper scale has it, but for what a trial changes, on 45,000 of the training images, the
same in all trials; the other 5,000 are held out. Minutes a trial on a data-center card, half a day on two cores.

Behind docs/notes.md: "That of the fifth was chosen on held out training images". Output: held_out.txt.
"""

import time

import torch
from _shared import images, parser, teachers

from luckmatters.jobs.device import keep_freed_memory
from luckmatters.learning.teachers import evaluate, rate, train
from luckmatters.science.images import Cifar10, normalize
from luckmatters.science.networks import Networks
from luckmatters.science.random import generator
from luckmatters.science.training import networks_of
from luckmatters.settings.teachers import Teacher

EPOCHS = 350  # as many as the recipe has
COMMON = {"batch": 128, "momentum": 0.9, "snapshots": []}
# The recipe with a tenth of its rate, since the rate itself diverges, and ten times its weight decay, so that their
# product stays; and half a cosine from the rate that the teacher has had, doubled like the batch, with decay around its
# own.
TRIALS = {
    "recipe-tenth": {"decay": 5e-3, "rates": ((0, 0.01), (3 / 7, 0.001), (5 / 7, 0.0001)), "annealing": None},
    "cosine-2e-3": {"decay": 2e-3, "rates": ((0, 0.02),), "annealing": "cosine"},
    "cosine-4e-3": {"decay": 4e-3, "rates": ((0, 0.02),), "annealing": "cosine"},
    "cosine-8e-3": {"decay": 8e-3, "rates": ((0, 0.02),), "annealing": "cosine"},
}


def settings(
    teacher: Teacher, epochs: int, kept: int, held: int, *, decay: float, rates: tuple, annealing: str | None
) -> Teacher:
    """The teacher with a trial's training; kept, held: images; rates are (share of the epochs, rate)."""
    text = teacher.model_dump(exclude_none=True)
    text["pretraining"]["data"] |= {"samples_per_epoch": kept, "evaluation_samples": held}
    text["pretraining"]["training"] = COMMON | {
        "epochs": epochs,
        "precision": teacher.pretraining.training.precision,
        "weight_decay": decay,
        "annealing": annealing,
        "learning_rate": [{"epoch": round(epochs * share), "rate": rate} for share, rate in rates],
    }
    return Teacher.model_validate(text)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("trials", nargs="*", help=f"of {', '.join(TRIALS)} (default: all)")
    options.add_argument("--epochs", type=int, default=EPOCHS, help=f"default: {EPOCHS}")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = options.parse_args()
    if unknown := set(given.trials) - set(TRIALS):
        options.error(f"no trial {', '.join(sorted(unknown))}; there are {', '.join(TRIALS)}")
    if given.smallest:
        given.trials, given.epochs = ["cosine-8e-3"], 1
    keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    read = images(smallest=given.smallest)
    pixels, labels = (torch.from_numpy(one).to(given.device) for one in (read.train_images, read.train_labels))
    order = torch.from_numpy(generator("held-out").permutation(len(pixels))).to(given.device)
    few = len(pixels) // 10
    held, kept = order.split([few, len(pixels) - few])
    data = Cifar10(pixels[kept], labels[kept], pixels[held], labels[held], len(kept), True, COMMON["batch"])
    sample = normalize(pixels[kept[: 2 * few]])[None], labels[kept[: 2 * few]]
    teacher = teachers("ci" if given.smallest else "paper")["cifar-conv"]
    print(f"{read.description}; {given.epochs} epochs; standard errors about 0.5 points\n")
    print("| trial | rate x decay, sum | trained on | held out | its loss | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in given.trials or TRIALS:
        trial, began = settings(teacher, given.epochs, len(kept), few, **TRIALS[name]), time.monotonic()
        *_, state = train(trial, data, device=given.device)
        networks = Networks.from_state(networks_of(state.network()), device=given.device)
        accuracy, loss = (state.history()[key][-1].item() for key in ("accuracy", "loss"))
        fitted = evaluate(networks, *sample)["accuracy"].item()
        training, steps = trial.pretraining.training, -(-len(kept) // COMMON["batch"])
        decayed = steps * sum(rate(training, epoch) for epoch in range(training.epochs)) * training.weight_decay
        found = (f"{decayed:.1f}", f"{fitted:.2%}", f"{accuracy:.2%}", f"{loss:.3f}")
        print(f"| {name} | {' | '.join(found)} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
