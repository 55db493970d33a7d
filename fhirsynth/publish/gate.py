"""How many requests are under way: more while answers come quickly, fewer when the server asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 24
"""Requests at a time, at most: a FHIR server of one machine gets no more done with more."""
START: Final = 8
WINDOW: Final = 12
"""Answers that are looked at together."""
STEADY: Final = 0.8
"""Entries a second, relative to the most there were lately, from which on one more request at a time is tried."""
SLOW: Final = 0.4
"""Entries a second, relative to the most there were lately, below which requests hinder each other."""
FORGET: Final = 0.999
"""What is left of the most there were after each answer: a server with more in it is slower."""


@dataclass(slots=True)
class Gate:
    """Additive increase, multiplicative decrease of the requests under way; ``reached`` is the most there were.

    Until they are first decreased, each answer allows one more.

    Parameters
    ----------
    most
        Requests at a time, at most.
    """

    most: int = MOST
    limit: float = 0.0
    busy: int = 0
    reached: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _recent: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _best: float = 0.0
    _answers: int = 0
    _cut_at: int = -WINDOW

    def __post_init__(self) -> None:
        self.limit = float(min(START, self.most))

    async def enter(self) -> None:
        """Wait for a place."""
        while self.busy >= int(self.limit):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self.busy += 1
        self.reached = max(self.reached, self.busy)

    def leave(self) -> None:
        """Give the place back."""
        self.busy -= 1
        self._wake()

    def good(self, seconds: float, entries: int, busy: int) -> None:
        """An answer came after so many seconds; ``busy`` requests were under way when it was asked for.

        How long it took grows with the requests that a busy server has in its queue; what it gets done is the number of
        them, over the time of each.
        """
        self._answers += 1
        self._recent.append((seconds, max(entries, 1), (busy + self.busy) / 2))
        took, brought, beside = map(sum, zip(*self._recent, strict=True))
        rate = brought / max(took, 1e-9) * max(beside / len(self._recent), 1)
        if len(self._recent) == WINDOW:
            self._best = max(rate, self._best * FORGET)
        if rate < SLOW * self._best:
            self._cut(0.8)
        elif rate >= STEADY * self._best:
            self.limit = min(float(self.most), self.limit + (1 / self.limit if self._cut_at >= 0 else 1))
            self._wake()

    def bad(self) -> None:
        """The server is busy, or did not answer in time."""
        self._answers += 1
        self._cut(0.5)

    def _cut(self, share: float) -> None:
        """At most once for the requests that were under way together."""
        if self._answers - self._cut_at >= self.limit:
            self._cut_at = self._answers
            self.limit = max(1.0, self.limit * share)

    def _wake(self) -> None:
        free = int(self.limit) - self.busy
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
