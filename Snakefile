# Every figure and claim of "Luck Matters" (arXiv 1905.13405): snakemake --cores N [--config scale=ci|laptop|paper]
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from luckmatters import artefacts
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.plan import Plan
from luckmatters.dependencies import closure

# Defaults stand in config/config.yaml; `config` holds what the command line overrides.
try:
    PROJECT = Project(Path(os.path.relpath(workflow.basedir)), **config)
except UserError as error:
    raise WorkflowError(str(error)) from None

PLAN = Plan(PROJECT)
RESULTS, FIGURES, LOGS = PROJECT.results, PROJECT.figures, PROJECT.results / "logs"
# How every rule calls the package: with this checkout's configuration, whatever the working folder, and these overrides.
OPTIONS = (
    f"--project '{os.path.relpath(workflow.basedir)}' --scale {PROJECT.scale_name}"
    f" --results '{PROJECT.settings.results}' --figures '{PROJECT.settings.figures}'"
)
# Rules that read finished runs also go by what is kept.
READING_OPTIONS = f"{OPTIONS} --kept {PROJECT.settings.kept}"
DEVICE_OPTIONS = f"{OPTIONS} --device {PROJECT.settings.device}"


onstart:
    if PROJECT.keeping == "only":
        from luckmatters.keeping import describe

        print(describe(PROJECT), file=sys.stderr)


wildcard_constraints:
    experiment=PLAN.names(),
    variant="[a-z0-9-]+",
    teacher="[a-z0-9-]+",
    seeds="[0-9+-]+",


include: "workflow/rules/teachers.smk"
include: "workflow/rules/jobs.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        PLAN.everything(),
