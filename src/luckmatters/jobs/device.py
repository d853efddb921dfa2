"""Torch as a job needs it."""

import ctypes
import platform

from luckmatters.config import Project
from luckmatters.errors import UserError


def prepare_device(project: Project) -> str:
    """Set torch up for a job; the device that trains. Raises UserError if this machine has none of that kind."""
    import torch

    # No more than there are, or than Snakemake allows through the environment (both are what torch starts with).
    torch.set_num_threads(min(project.scale.threads_per_job, torch.get_num_threads()))
    keep_freed_memory()
    device = project.settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but this machine has none that torch can use; set device to cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, since every step asks for the same again; it would give large blocks back.

    New pages cost a ConvNet up to a fifth of its time. For glibc alone; the numbers are those of mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt, mmap_max, trim_threshold = ctypes.CDLL(None).mallopt, -4, -1
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
