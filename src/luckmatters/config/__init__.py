"""What is asked for: YAML files, checked and resolved. Imports no torch, so that `snakemake -n` stays fast."""

from luckmatters.config.load import Project
from luckmatters.config.schema import Claim, Experiment, Run

__all__ = ["Claim", "Experiment", "Project", "Run"]
