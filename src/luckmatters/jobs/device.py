"""Torch's threads, memory and device for a job."""

import ctypes
import platform

from luckmatters.config import Project
from luckmatters.errors import UserError


def prepare_device(project: Project) -> str:
    """Set torch up for a job; returns the device. Raises UserError if the machine lacks the device asked for."""
    import torch

    # Torch starts with the number of cores, or with Snakemake's limit in the environment. More threads are of no use.
    torch.set_num_threads(min(project.scale.threads_per_job, torch.get_num_threads()))
    keep_freed_memory()
    device = project.settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but this machine has none that torch can use; set device to cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device


def keep_freed_memory() -> None:
    """Make malloc keep freed memory, since every step asks for the same blocks again.

    New pages cost a ConvNet up to a fifth of the time. Affects glibc alone; the constants are from mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt, mmap_max, trim_threshold = ctypes.CDLL(None).mallopt, -4, -1
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
