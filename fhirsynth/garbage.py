"""What garbage collection need not look at."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """What is there before long work (libraries, above all torch's) is not looked through again and again."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
