"""Libraries that draw from global random states, run as if the seed were an argument."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from fhirsynth.seeds import derive

THREADS: Final = 1
"""Threads inside torch. The order of a sum depends on their number, so it is fixed: the result does not depend on the
machine's cores. For networks of this size one is as fast as two (see ``benchmarks/ctgan.py``)."""

_KNOWN_WARNINGS: Final = (
    "We strongly recommend saving the metadata",
    ".*Number of distinct clusters.*",
    ".*did not converge.*",
    ".*Best performing initialization did not converge.*",
    ".*PerformanceAlert.*",
)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed ``random``, numpy and torch for the block, and put everything back as it was afterwards.

    Parallel work of joblib runs in the block itself: ctgan transforms columns in worker processes that draw from
    random states of their own, which nobody could seed.
    """
    import joblib
    import torch

    before = (random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_num_threads())  # noqa: NPY002
    random.seed(derive(seed, "random"))
    np.random.seed(derive(seed, "numpy") % 2**32)  # noqa: NPY002
    torch.manual_seed(derive(seed, "torch"))
    torch.set_num_threads(THREADS)
    try:
        with joblib.parallel_config(backend="sequential"), _quiet():
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
        torch.set_num_threads(before[3])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is known and harmless, and nothing else."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def counted_steps(report: Callable[[int], None]) -> Iterator[None]:
    """Call ``report`` with the number of optimizer steps done so far, whatever is trained in the block."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        report(done)

    handle = register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        handle.remove()
