"""Doubles that a race has made: of two loaders at once, on a server that does not keep conditional creates apart.

The oldest copy stays, and whoever has made any of them removes the younger ones, after everything that referred to them
refers to the oldest. As all agree on which is the oldest, however much of it they see, nobody removes the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx
import orjson

from fhirsynth.publish.answers import body_of
from fhirsynth.publish.journal import Journal, Taken
from fhirsynth.publish.retry import TEMPORARY
from fhirsynth.publish.shape import references_of
from fhirsynth.publish.wire import Wire

GONE: Final = frozenset({404, 410})
CONFLICT: Final = 409


class Double(NamedTuple):
    """An entry of this load whose record is on the server more than once.

    Parameters
    ----------
    document
        Its number in the journal.
    copies
        Addresses on the server, the oldest first.
    """

    document: int
    entry: Taken
    copies: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Whether this load has made one of them, or may have."""
        return self.entry.created


async def remove(wire: Wire, journal: Journal, doubles: Sequence[Double]) -> int:
    """Delete the younger copies; how many are gone.

    Raises
    ------
    PublishError
        When the server cannot be asked.
    """
    stays = {copy: double.copies[0] for double in doubles for copy in double.copies[1:]}
    for document in sorted({double.document for double in doubles}):
        copies = {copy for double in doubles if double.document == document for copy in double.copies}
        for address in sorted({*journal.addresses(document), *copies} - stays.keys()):
            await _turn(wire, address, stays)
    left = sorted(stays)
    while left:
        kept = [address for address in left if not await _deleted(wire, address)]
        if len(kept) == len(left):
            break
        left = kept
    journal.move([(double.document, double.entry.place, double.copies[0]) for double in doubles])
    return len(stays) - len(left)


async def _turn(wire: Wire, address: str, stays: dict[str, str]) -> None:
    """Let a resource refer to the copies that stay."""
    answer = await wire.get(address)
    resource = body_of(answer)
    if not answer.is_success or not any(text in stays for text in references_of(resource)):
        return
    body = orjson.dumps(_turned(resource, stays))

    async def step() -> tuple[httpx.Response, bool]:
        done = await wire.request("PUT", address, body=body)
        return done, done.status_code in TEMPORARY

    await wire.persist(step)


async def _deleted(wire: Wire, address: str) -> bool:
    async def step() -> tuple[httpx.Response, bool]:
        answer = await wire.request("DELETE", address)
        return answer, answer.status_code in TEMPORARY - {CONFLICT}

    answer = await wire.persist(step)
    return answer.is_success or answer.status_code in GONE


def _turned(value: Any, stays: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: stays.get(one, one) if key == "reference" and isinstance(one, str) else _turned(one, stays)
            for key, one in value.items()
        }
    return [_turned(one, stays) for one in value] if isinstance(value, list) else value
