"""Tables and named tensors as the bytes of files, and tensors read back."""

import io

from luckmatters.settings.experiment import Run


def pack(tensors: dict) -> bytes:
    """Named tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    # Copies, since safetensors refuses tensors that share memory, as a snapshot and the current network may do.
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})


def unpack(content: bytes) -> dict:
    """The named tensors of a safetensors file, the inverse of :func:`pack`."""
    from safetensors.torch import load

    return load(content)


def to_parquet(table, run: Run | None = None) -> bytes:
    """A table as the bytes of a Parquet file.

    run: the run whose experiment and variant are inserted in the table, in place, as the first columns.
    """
    if run:
        table.insert(0, "experiment", run.experiment)
        table.insert(1, "variant", run.variant)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def under(tensors: dict, prefix: str) -> dict:
    """The tensors with names ``prefix/*``, by the rest of their names."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}
