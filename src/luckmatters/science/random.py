"""Explicit random generators. Nothing is ever seeded globally."""

import hashlib

import numpy as np


def generator(purpose: str, *key: int) -> np.random.Generator:
    """A generator that depends on nothing but its purpose and its key, for example ``("gaus", seed, epoch)``.

    Streams of different purposes, seeds or epochs are unrelated, so that the order in which (or the batch within
    which) seeds are computed cannot change what any of them draws. NumPy's generators, because they draw the same
    numbers on every processor and for every device; torch's depend on the processor's vector instructions.
    """
    digest = hashlib.blake2b("/".join([purpose, *map(str, key)]).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
