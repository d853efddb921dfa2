"""Explicit random generators. Nothing is ever seeded globally."""

import hashlib

import torch


def generator(purpose: str, *key: int, device: str = "cpu") -> torch.Generator:
    """A generator that depends on nothing but its purpose and its key, for example ``("gaus", seed, epoch)``.

    Streams of different purposes, seeds or epochs are unrelated, so that the order in which (or the batch within
    which) seeds are computed cannot change what any of them draws.
    """
    digest = hashlib.blake2b("/".join([purpose, *map(str, key)]).encode(), digest_size=4).digest()
    # 32 bits: all that torch's CPU generator (mt19937) takes from a seed.
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little"))
