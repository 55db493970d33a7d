"""How many requests are under way, and how long is waited between them."""

from __future__ import annotations

import asyncio
import random
from collections import deque

import pytest

from fhirsynth.publish.gate import MOST, START, Gate
from fhirsynth.publish.retry import Patience


def test_quick_answers_let_more_go_up_to_the_most() -> None:
    gate = Gate()
    assert gate.limit == START
    for _ in range(MOST - START):
        gate.good(1.0, 100, 8)
    assert gate.limit == MOST


def test_after_a_refusal_they_become_more_slowly() -> None:
    gate = Gate()
    gate.bad()
    for _ in range(2 * START):
        gate.good(1.0, 100, 8)
    assert START / 2 < gate.limit < START


def test_a_busy_server_halves_them_once_for_those_that_were_under_way_together() -> None:
    gate = Gate()
    for _ in range(400):
        gate.good(1.0, 100, 8)
    for _ in range(8):
        gate.bad()
    assert gate.limit == MOST / 2
    for _ in range(100):
        gate.bad()
    assert gate.limit == 1


def test_answers_that_become_slow_let_fewer_go() -> None:
    gate = Gate()
    for _ in range(400):
        gate.good(1.0, 100, 8)
    for _ in range(60):
        gate.good(20.0, 100, 8)
    assert gate.limit < MOST / 2


@pytest.mark.parametrize("best", [24, 6])
def test_as_many_go_as_the_server_gets_most_done_with(best: int) -> None:
    """A server that gets less done the more there are above ``best``; its time is counted, not spent."""
    gate, now, rng = Gate(), 0.0, random.Random(1)
    left = deque(rng.choice([20, 100, 500]) for _ in range(600))
    going: list[list[float]] = []  # entries still to do, entries, when it came, how many were there then
    seen: list[float] = []
    while left:
        while left and len(going) < int(gate.limit):
            entries = left.popleft()
            gate.busy = len(going)
            going.append([entries, entries, now, len(going) + 1])
        speed = 100 * min(1.0, (best / len(going)) ** 2) / len(going)
        first = min(going)
        now += first[0] / speed
        for one in going:
            one[0] -= first[0]
        going.remove(first)
        gate.busy = len(going)
        seen.append(gate.limit)
        gate.good(now - first[2], int(first[1]), int(first[3]))
    usual = sum(seen[100:]) / len(seen[100:])
    assert usual == MOST if best == MOST else usual < MOST * 0.7


def test_no_more_are_under_way_than_may_be_and_a_turn_is_never_lost() -> None:
    async def work() -> tuple[int, int]:
        gate, seen = Gate(3), 0

        async def one(number: int) -> None:
            nonlocal seen
            await gate.enter()
            try:
                seen = max(seen, gate.busy)
                await asyncio.sleep(0)
            finally:
                gate.leave()

        tasks = [asyncio.create_task(one(number)) for number in range(40)]
        await asyncio.sleep(0)
        for task in tasks[10:20]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen, gate.busy

    assert asyncio.run(work()) == (3, 0)


@pytest.mark.parametrize("retry", [1, 3, 5, 40, 5000])
def test_waits_are_random_below_a_bound_that_doubles(retry: int) -> None:
    patience = Patience(first=0.5, longest=60, rng=random.Random(1))
    waits = [patience.wait(retry, None) for _ in range(200)]
    bound = min(60, 0.5 * 2 ** min(retry - 1, 20))
    assert 0 <= min(waits) < 0.1 * bound
    assert 0.9 * bound < max(waits) <= bound
