"""What garbage collection need not look at."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = (50_000, 20, 100)
"""Objects after which it looks at new ones (a patient's Bundle has thousands, and hardly a circle among them), and how
often at those that stay: as none counts that was there before, it would go through all that is under way each time."""


@contextmanager
def settled() -> Iterator[None]:
    """What is there before long work (libraries, above all torch's) is not looked through again and again."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
