"""Averages of β, β*, H and H* over 1,024 samples against a loop over samples, in one process.

    python benchmarks/speed_modulation.py [--threads N] [--rounds R]

The loop is the paper's recursion for one sample after another, written with nothing but matrix products and gates. The
share of the machine's matrix-product rate counts the products of our own way, with the constant nodes.
"""

import itertools

import torch
from _common import begin, medians, seconds, sgemm

from luckmatters.science.modulation import augmented, averages
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.teachers import draw_teachers

SAMPLES, INPUTS, OUTPUTS = 1024, 20, 100
TEACHER = [10, 15, 20, 25]


def loop(students: Networks, teachers: Networks, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """The means of every hidden layer, lowest first, by the recursion for each sample."""
    own, its = ([matrix[0] for matrix in augmented(networks)] for networks in (students, teachers))
    sums: list[dict[str, torch.Tensor]] = [{} for _ in own[:-1]]
    for sample in x[0].T:
        gates = [opened(matrices, sample) for matrices in (own, its)]
        h = h_star = torch.eye(OUTPUTS)
        for layer in reversed(range(len(own) - 1)):
            left, right = own[layer + 1], its[layer + 1]
            found = {"beta": left.T @ h @ left, "beta_star": left.T @ h_star @ right}
            found["h"] = h = found["beta"] * torch.outer(gates[0][layer], gates[0][layer])
            found["h_star"] = h_star = found["beta_star"] * torch.outer(gates[0][layer], gates[1][layer])
            for name, value in found.items():
                sums[layer][name] = sums[layer][name].add_(value) if name in sums[layer] else value.clone()
    return [{name: value / x.shape[2] for name, value in one.items()} for one in sums]


def opened(matrices: list[torch.Tensor], sample: torch.Tensor) -> list[torch.Tensor]:
    """The gates of each hidden layer for one sample."""
    f, gates = torch.cat([sample, torch.ones(1)]), []
    for matrix in matrices[:-1]:
        f = (matrix @ f).relu()
        gates.append((f > 0).float())
    return gates


def operations(multiplier: int, samples: int) -> float:
    """Of the products that :func:`averages` takes: output maps downwards, H and H* below the uppermost layer."""
    student, teacher = ([m * width + 1 for width in TEACHER] for m in (multiplier, 1))
    total = 0
    for (below, above), its in zip(itertools.pairwise(student), teacher, strict=False):
        total += above * below + below * below + below * its
    total += sum(above * below for below, above in itertools.pairwise(teacher))
    return 2.0 * samples * OUTPUTS * total


def main() -> None:
    chosen = begin(__doc__)
    samples, multipliers, size = (4, (1, 2), 64) if chosen.smallest else (SAMPLES, (1, 2, 5, 10), 2048)
    teachers = draw_teachers((INPUTS,), [*TEACHER, OUTPUTS], init="separated", seeds=[0])
    x = 10 * torch.randn(1, INPUTS, samples)
    sgemm(size)
    print("| students of the small teacher | ours, ms | loop / ours | of SGEMM |")
    print("| --- " * 4 + "|")
    for multiplier in multipliers:
        students = initialize_students((INPUTS,), [*(multiplier * width for width in TEACHER), OUTPUTS], seeds=[0])
        ours, theirs = averages(students, teachers, x), loop(students, teachers, x)
        for one, other in zip(ours, theirs, strict=True):
            for name, value in other.items():
                torch.testing.assert_close(getattr(one, name)[0], value, rtol=1e-3, atol=1e-3)
        rows = []
        for _ in range(chosen.rounds):
            own = seconds(lambda s=students: averages(s, teachers, x))
            its = seconds(lambda s=students: loop(s, teachers, x))
            rows.append((own, its / own, operations(multiplier, samples) / own / sgemm(size)))
        own, ratio, share = medians(rows)
        print(f"| m = {multiplier} | {own * 1e3:.0f} | {ratio:.1f} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
