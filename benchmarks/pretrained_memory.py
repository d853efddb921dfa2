"""Memory and time of reading the BatchNorm of a checkpoint of VGG16's size, in both of torch's file formats.

    python benchmarks/pretrained_memory.py

The checkpoint is synthetic (half a gigabyte, in a temporary folder); what reads it is a process of its own, whose
greatest resident memory is reported.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from luckmatters.torchvision_shim import import_torchvision

READ = """
import resource, sys, time
from pathlib import Path
from luckmatters import pretrained
start = time.monotonic()
rows = len(pretrained.extract(Path(sys.argv[1]), "vgg16_bn").table)
print(rows, time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    state = import_torchvision().models.vgg16_bn(init_weights=False).state_dict()
    with tempfile.TemporaryDirectory() as scratch:
        for kind, new in {"zip": True, "legacy": False}.items():
            made = Path(scratch) / "made.pth"
            torch.save(state, made, _use_new_zipfile_serialization=new)
            with made.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            path = made.rename(made.with_name(f"vgg16_bn-{digest[:8]}.pth"))
            done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
            rows, seconds, mebibytes = done.stdout.split()
            size = path.stat().st_size / 2**20
            print(f"{kind}: {size:.0f} MiB, {rows} channels in {float(seconds):.1f} s, peak {float(mebibytes):.0f} MiB")
            path.unlink()


if __name__ == "__main__":
    main()
