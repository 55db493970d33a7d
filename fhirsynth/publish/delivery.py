"""One piece of a document, to its end: sent, repeated, asked after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

import httpx
import orjson

from fhirsynth.publish.access import FAILURES
from fhirsynth.publish.answers import body_of, outcome_words
from fhirsynth.publish.dead import outcome
from fhirsynth.publish.journal import Journal, Taken
from fhirsynth.publish.lookup import find
from fhirsynth.publish.parcel import How, Item, Packet, bundle, request_of
from fhirsynth.publish.retry import DOUBTFUL, TEMPORARY
from fhirsynth.publish.shape import Target
from fhirsynth.publish.wire import UNREACHED, Garbled, Unanswered, Wire

TOO_LARGE: Final = 413
MINIMAL: Final = {"Prefer": "return=minimal"}
"""The answer should be short; packed it may be, as HAPI writes what is not in hundreds of pieces, one for each word."""
NEVER: Final = (False, None)
Refused = tuple[int, dict[str, Any]]
"""Status and OperationOutcome."""


@dataclass(slots=True)
class Parcel:
    """A piece of a document under way.

    Parameters
    ----------
    packet
        The document.
    how
        How it is sent.
    addresses
        What is known of where resources are on the server; more is learnt.
    open
        What is still to be sent.
    doubtful
        It was sent, at some time, without an answer: what is there now may be ours.
    taken, refused
        What became of the others, by their places.
    """

    packet: Packet
    how: How
    addresses: dict[Target, str]
    open: list[Item]
    doubtful: bool = False
    taken: dict[int, tuple[bool, str | None]] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)

    def settle(self, item: Item, *, created: bool, address: str | None) -> None:
        """The server has it."""
        self.taken[item.place] = created, address

    def reject(self, item: Item, status: int, why: dict[str, Any]) -> None:
        """The server does not take it, in its words."""
        self.refused[item.place] = status, why

    def reject_all(self, status: int, why: dict[str, Any]) -> None:
        """The server does not take what is open."""
        for item in self.open:
            self.reject(item, status, why)

    def close(self) -> None:
        """Leave open what is neither."""
        self.open = [item for item in self.open if item.place not in self.taken and item.place not in self.refused]

    def notes(self, items: Sequence[Item]) -> list[Taken]:
        """What the journal says of items: what was there after a request was lost counts as made by us.

        What was there before has no tag of ours, so that it cannot be counted.
        """
        found = []
        for item in items:
            created, address = self.taken.get(item.place, NEVER)
            created = created or self.doubtful
            untagged = item.run == self.how.tag and item.condition is not None and not created
            run = None if untagged else item.run
            found.append(Taken(item.place, run, *item.target, item.record, created, address))
        return found


@dataclass(frozen=True, slots=True)
class Courier:
    """Brings pieces to a server, and notes what it does."""

    wire: Wire
    journal: Journal

    async def deliver(self, parcel: Parcel, before: int) -> httpx.Response | None:
        """Send a piece until it is settled; the answer where it was refused as a whole.

        Parameters
        ----------
        before
            Answers there were when its document was begun; where there are no more, the server is gone.

        Raises
        ------
        PublishError
            When the server is gone, refuses the credentials, or the time is up.
        """
        pending = parcel.doubtful  # something was sent, and it is open what became of it

        async def step() -> tuple[httpx.Response, bool]:
            nonlocal pending
            if parcel.how.asking or (pending and parcel.how.mode == "post"):
                await self._ask(parcel, doubtful=pending)
                pending = False
                if not parcel.open:
                    return httpx.Response(200), False
            if parcel.how.mode == "post":
                self.journal.sent(parcel.packet.digest, parcel.packet.source, parcel.notes(parcel.open))
            try:
                answer, again = await self._once(parcel)
            except FAILURES as error:
                pending = pending or not isinstance(error, UNREACHED)
                parcel.doubtful = parcel.doubtful or pending
                raise
            pending = pending or answer.status_code in DOUBTFUL
            parcel.doubtful = parcel.doubtful or pending
            return answer, again

        try:
            answer = await self.wire.persist(step)
        except Unanswered as error:
            if len(parcel.open) > 1 and parcel.how.sending != "single" and await self._answers():
                return httpx.Response(TOO_LARGE, json=outcome(str(error)))  # some servers hang up on what is too large
            if self.wire.traffic.answered == before:
                raise
            return httpx.Response(504, json=outcome(str(error)))
        parcel.close()
        if parcel.open and answer.is_success:
            return httpx.Response(503, json=outcome("was busy to the last try; call again"))
        return answer if parcel.open else None

    async def _answers(self) -> bool:
        """Whether the server answers anything at all."""
        try:
            return (await self.wire.request("GET", "metadata")).is_success
        except FAILURES:
            return False

    async def _ask(self, parcel: Parcel, *, doubtful: bool) -> None:
        """Which of what is open is there already."""
        found = await find(self.wire, parcel.open)
        parcel.addresses |= {item.target: found[item.place] for item in parcel.open if item.place in found}
        whole = doubtful and parcel.how.sending == "transaction" and bool(found) and not parcel.how.asking
        for item in parcel.open:
            if item.place in found or whole:
                parcel.settle(item, created=doubtful, address=found.get(item.place))
            elif doubtful and item.asked is None and (parcel.how.sending != "transaction" or _nameless(parcel.open)):
                why = "may have been taken or not, and has no identifier to ask the server by; look for it there"
                parcel.reject(item, 0, outcome(why, "incomplete"))
        parcel.close()

    async def _once(self, parcel: Parcel) -> tuple[httpx.Response, bool]:
        resources = parcel.packet.written(parcel.open, parcel.addresses, parcel.how)
        if parcel.how.sending == "single":
            return await self._alone(parcel, parcel.open[0], resources[0])
        body = orjson.dumps(bundle(parcel.open, resources, parcel.how))
        answer = await self.wire.request("POST", body=body, headers=MINIMAL, entries=len(parcel.open))
        if not answer.is_success:
            return answer, answer.status_code in TEMPORARY
        said = body_of(answer).get("entry")
        if not isinstance(said, list) or len(said) != len(parcel.open):
            raise Garbled("the answer does not have as many entries as were sent")
        return answer, self._read(parcel, said)

    def _read(self, parcel: Parcel, said: list[Any]) -> bool:
        """Settle the entries of an answer; whether some should be sent again."""
        again = False
        for item, entry in zip(parcel.open, said, strict=True):
            response = entry.get("response") if isinstance(entry, dict) else None
            response = response if isinstance(response, dict) else {}
            status = int(text) if (text := str(response.get("status", ""))[:3]).isdecimal() else 0
            if 200 <= status < 300:
                parcel.settle(item, created=status == 201, address=_address(item, response.get("location")))
            elif status in TEMPORARY:
                again = True
                self.wire.traffic.retries[f"entry {status}"] += 1
            else:
                why = response.get("outcome")
                why = self.wire.access.masked(why) if _says(why) else outcome(f"status {status}")
                parcel.reject(item, status, why)
        parcel.close()
        return again

    async def _alone(self, parcel: Parcel, item: Item, resource: orjson.Fragment) -> tuple[httpx.Response, bool]:
        request = request_of(item, parcel.how)
        headers = dict(MINIMAL)
        if "ifNoneExist" in request:
            headers["If-None-Exist"] = request["ifNoneExist"]
        answer = await self.wire.request(
            request["method"], request["url"], body=orjson.dumps(resource), headers=headers
        )
        if not answer.is_success:
            return answer, answer.status_code in TEMPORARY
        address = _address(item, answer.headers.get("Location") or answer.headers.get("Content-Location"))
        if address is None and (name := body_of(answer).get("id")):
            address = f"{item.kind}/{name}"
        parcel.settle(item, created=answer.status_code == 201, address=address)
        return answer, False


def _says(why: Any) -> TypeGuard[dict[str, Any]]:
    return bool(outcome_words(why))


def _nameless(items: Sequence[Item]) -> bool:
    return all(item.asked is None for item in items)


def _address(item: Item, location: Any) -> str | None:
    """Type and id in a location, which may be absolute and name a version."""
    parts = str(location or "").partition("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 and parts[-2] == item.kind and parts[-1] else None
