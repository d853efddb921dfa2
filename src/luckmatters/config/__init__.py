"""The configuration: YAML files, checked and resolved. Imports no torch, so that `snakemake -n` stays fast."""

from luckmatters.config.project import Project

__all__ = ["Project"]
