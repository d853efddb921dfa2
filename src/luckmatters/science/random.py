"""Explicit random generators. Nothing is ever seeded globally."""

import hashlib

import numpy as np


def generator(purpose: str, *key: int) -> np.random.Generator:
    """A random generator that depends on a purpose and a key alone, for example ``("gaus", seed, epoch)``.

    Streams of different purposes, seeds or epochs are unrelated. The order and the batches in which seeds are computed
    therefore cannot change any seed's random numbers. NumPy's generators draw the same numbers on every processor and
    for every device. Torch's generators depend on the processor's vector instructions.
    """
    digest = hashlib.blake2b("/".join([purpose, *map(str, key)]).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
