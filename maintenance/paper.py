"""Compute results of the paper scale in the order of their worth, for a number of minutes, and keep what is finished.

    python maintenance/paper.py [--minutes 60] [--cores 1] [--device cuda]        (make paper MINUTES=60 DEVICE=cuda)

Started again, it goes on from the checkpoints of what was under way. What is kept already is left out. It refuses a
checkout that is not as committed. Results of several commits are not kept together: commit nothing before a variant is
finished, or work in a clone.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from luckmatters import artefacts
from luckmatters.config import Project
from luckmatters.costs import in_words
from luckmatters.errors import UserError
from luckmatters.keeping import keep
from luckmatters.provenance import require_clean
from luckmatters.settings.experiment import Run

# Cheap ones with published curves first, then what figures of the paper show, then what costs most.
ORDER = (
    "two-nodes", "decision-lines", "fan-out-one-hidden", "fan-out-two-hidden", "starts", "evaluation-size",
    "over-param/m1-no-bn", "batch-norm-scales", "luck-speed", "gaus-fc", "over-param/m1-bn",
    "over-param/m2-no-bn", "over-param/m2-bn",
    "over-param/m5-no-bn", "over-param/m10-bn", "over-param/m5-bn", "teacher-size", "two-teachers", "gaus-fc-small",
    "rank-profile", "modulation", "gradient-rule", "finite-data/fc-finite-no-bn",
    "finite-data/fc-finite-bn", "cifar-fc", "modulation-cifar", "lottery-dense", "lottery-curves", "lottery-luck",
    "separation", "learning-rate", "over-param/m20-no-bn", "over-param/m50-no-bn", "lottery-cifar-dense",
    "lottery-sparsity", "lottery-cifar", "gaus-conv", "cifar-conv",
)  # fmt: skip
# On a card: the convolutions, which no CPU can finish, then the widest students.
ORDER_ON_A_CARD = ("gaus-conv", "cifar-conv", "over-param/m50-no-bn", "over-param/m20-no-bn", "lottery-cifar")


def runs(project: Project, name: str) -> list[Run]:
    """The runs of ``experiment`` or ``experiment/variant`` that are not kept in full."""
    experiment, _, variant = name.partition("/")
    named = [project.run(experiment, variant)] if variant else list(project.own_runs(experiment).values())
    return [run for run in named if not (kept := project.kept(run)) or set(kept.seeds) != set(run.seeds)]


def compute(project: Project, run: Run, cores: int, deadline: float) -> bool:
    """Compute a run's jobs until a moment (``time.monotonic``); whether they are finished."""
    folders = [
        artefacts.run_folder(project.results, run.experiment, run.variant, artefacts.seed_label(seeds))
        for seeds in project.chunks(run)
    ]
    config = ["--config", f"scale={project.scale_name}", f"device={project.settings.device}", "kept=use"]
    targets = [str(folder / artefacts.MANIFEST) for folder in folders]
    # A lock would outlive a run that is stopped here.
    command = ["snakemake", "--cores", str(cores), "--nolock", *config, "--", *targets]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(max(0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--cores", type=int, default=os.cpu_count())
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--scale", default="paper")
    options.add_argument(
        "--smallest", action="store_true", help="say what would be computed, in order, and what it costs"
    )
    options.add_argument("names", nargs="*", metavar="experiment[/variant]", help="instead of all, in this order")
    given = options.parse_args()
    deadline = time.monotonic() + 60 * given.minutes
    try:
        project = Project(Path(), scale=given.scale, device=given.device)
        names = given.names or (ORDER_ON_A_CARD if given.device == "cuda" else ORDER)
        if given.smallest:
            print(
                "\n".join(
                    f"{run.experiment}/{run.variant}: {in_words([run])}"
                    for name in names
                    for run in runs(project, name)
                )
            )
            return
        require_clean()
        for name in names:
            for run in runs(project, name):
                if time.monotonic() < deadline and compute(project, run, given.cores, deadline):
                    for folder in keep(project, [f"{run.experiment}/{run.variant}"]):
                        print(f"kept {folder}", flush=True)
    except UserError as error:
        sys.exit(f"paper.py: error: {error}")


if __name__ == "__main__":
    main()
