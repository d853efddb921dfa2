"""Tables and named tensors as bytes of a file, and back."""

import io

from luckmatters.settings.experiment import Run


def pack(tensors: dict) -> bytes:
    from safetensors.torch import save

    # Compact copies: safetensors refuses tensors that share memory, as a snapshot and the current network may.
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})


def unpack(content: bytes) -> dict:
    from safetensors.torch import load

    return load(content)


def to_parquet(table, run: Run | None = None) -> bytes:
    if run:
        table.insert(0, "experiment", run.experiment)
        table.insert(1, "variant", run.variant)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
