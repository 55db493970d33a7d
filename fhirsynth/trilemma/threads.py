"""How many threads the numerical libraries may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

MANY = 2000
"""Rows below which threads spend more time waiting for each other than they save, above all on a busy machine."""


def threads_for(rows: int) -> AbstractContextManager[None]:
    """One thread for few rows, all of them for many."""
    return _at_most(1 if rows < MANY else None)


def one_thread() -> AbstractContextManager[None]:
    """One thread, for one of many pieces of work that are done side by side: sums come in the same order everywhere."""
    return _at_most(1)


@contextmanager
def _at_most(limit: int | None) -> Iterator[None]:
    # Only libraries that are loaded already can be limited.
    import sklearn.ensemble
    import sklearn.neighbors  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=limit):
        yield
