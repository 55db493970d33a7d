"""A piece of work in another process, while this one goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from typing import ParamSpec, TypeVar

from synthea_bridge.processes import pool

Given = ParamSpec("Given")
Made = TypeVar("Made")


@contextmanager
def beside(
    workers: int, work: Callable[Given, Made], *given: Given.args, **named: Given.kwargs
) -> Iterator[Callable[[], Made]]:
    """Begin ``work``, and give a function that waits for what it makes, or raises what it raised.

    Parameters
    ----------
    workers
        With one alone, or where the other process was ended, the work is done here, when it is first asked for.
    work, given, named
        A function that is the same whenever and wherever it is called, and its arguments; all can be pickled.
    """
    here = cache(lambda: work(*given, **named))
    if workers == 1:
        yield here
        return
    with pool(1) as processes:
        there = processes.submit(work, *given, **named)

        def made() -> Made:
            try:
                return there.result()
            except BrokenProcessPool:
                return here()

        yield made
