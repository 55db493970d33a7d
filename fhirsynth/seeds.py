"""Randomness that is passed in: one seed of the user's, and a stream of its own for every use of it."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *path: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and on the path, and on nothing else.

    Parameters
    ----------
    seed
        The user's seed.
    path
        What it is for, e.g. ``("assemble", patient_id)``. Order of use and number of workers do not matter.
    """
    text = "\x1f".join([str(seed), *map(str, path)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *path: str | int) -> np.random.Generator:
    """A generator of its own for ``path``; see :func:`derive`."""
    return np.random.default_rng(derive(seed, *path))
