"""Processes of this machine that work for this one, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def pool(workers: int, begin: Callable[..., Any] | None = None, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, however it ends, and at once when the block is left with an exception.

    Parameters
    ----------
    begin, given
        Called in each process before anything else, and with what; this may be memory that is shared.
    """
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(theirs, begin, given))
    try:
        yield executor
    except BaseException:
        ours.close()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


def _begin(ours: Connection, begin: Callable[..., Any] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us

    def watch() -> None:
        ours.poll(None)  # there is never anything to read but the end
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if begin is not None:
        begin(*given)
