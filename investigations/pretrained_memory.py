"""Memory and time of reading the BatchNorm of a checkpoint of VGG16's size, in both of torch's file formats.

    python investigations/pretrained_memory.py

The checkpoint is synthetic (half a gigabyte, in a temporary folder); what reads it is a process of its own, whose
greatest resident memory and processor time are reported.

Behind docs/data-and-weights.md: "Reading VGG16 takes 0.9 GB of memory and 3 s of processor time".
Output: pretrained_memory.txt.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _shared import parser

from luckmatters.torchvision_shim import import_torchvision

READ = """
import resource, sys, time
from pathlib import Path
from luckmatters.pretrained import checkpoints
start = time.process_time()
rows = len(checkpoints.extract(Path(sys.argv[1]), sys.argv[2]).table)
print(rows, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    model, kinds = "vgg16_bn", {"zip": True, "legacy": False}
    if parser(__doc__).parse_args().smallest:
        model, kinds = "shufflenet_v2_x0_5", {"zip": True}
    with torch.device("meta"):
        network = import_torchvision().models.get_model(model)
    state = network.to_empty(device="cpu").state_dict()  # any numbers will do
    print("| format | MiB | channels | seconds of processor time | greatest memory, MiB |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        for kind, new in kinds.items():
            made = Path(scratch) / "made.pth"
            torch.save(state, made, _use_new_zipfile_serialization=new)
            with made.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            path = made.rename(made.with_name(f"{model}-{digest[:8]}.pth"))
            command = [sys.executable, "-c", READ, str(path), model]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows, seconds, mebibytes = done.stdout.split()
            size = path.stat().st_size / 2**20
            print(f"| {kind} | {size:.0f} | {rows} | {float(seconds):.1f} | {float(mebibytes):.0f} |")
            path.unlink()


if __name__ == "__main__":
    main()
