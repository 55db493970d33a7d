"""How many requests are under way, and how long is waited between them."""

from __future__ import annotations

import asyncio
import random

import pytest

from fhirsynth.publish.gate import MOST, START, Gate
from fhirsynth.publish.retry import Patience


def test_quick_answers_let_more_go_up_to_the_most() -> None:
    gate = Gate()
    assert gate.limit == START
    for _ in range(MOST - START):
        gate.good(1.0, 100)
    assert gate.limit == MOST


def test_after_a_refusal_they_become_more_slowly() -> None:
    gate = Gate()
    gate.bad()
    for _ in range(2 * START):
        gate.good(1.0, 100)
    assert START / 2 < gate.limit < START


def test_a_busy_server_halves_them_once_for_those_that_were_under_way_together() -> None:
    gate = Gate()
    for _ in range(400):
        gate.good(1.0, 100)
    for _ in range(8):
        gate.bad()
    assert gate.limit == MOST / 2
    for _ in range(100):
        gate.bad()
    assert gate.limit == 1


def test_answers_that_become_slow_let_fewer_go() -> None:
    gate = Gate()
    for _ in range(400):
        gate.good(1.0, 100)
    for _ in range(60):
        gate.good(20.0, 100)
    assert gate.limit < MOST / 2


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
