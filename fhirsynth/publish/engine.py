"""One document after the other, each to its end: sent, repeated, split, asked after, noted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeGuard

import httpx
import orjson

from fhirsynth.publish.access import FAILURES
from fhirsynth.publish.answers import body_of, clean, outcome_words
from fhirsynth.publish.capability import Capability
from fhirsynth.publish.dead import DeadLetters, outcome
from fhirsynth.publish.journal import Journal, Taken
from fhirsynth.publish.lookup import find, search
from fhirsynth.publish.parcel import How, Item, Packet, bundle, cut, request_of, weigh
from fhirsynth.publish.result import LoadResult, Refusal
from fhirsynth.publish.retry import DOUBTFUL, TEMPORARY
from fhirsynth.publish.shape import Shaper, Target, target_of
from fhirsynth.publish.wire import UNREACHED, Garbled, Unanswered, Wire
from synthea_bridge.bundles import Document

TOO_LARGE: Final = 413
FAILED_DEPENDENCY: Final = 424
MINIMAL: Final = {"Prefer": "return=minimal"}
"""The answer should be short; packed it may be, as HAPI writes what is not in hundreds of pieces, one for each word."""
NEVER: Final = (False, None)
Refused = tuple[int, dict[str, Any]]
"""Status and OperationOutcome."""
HELD: Final = 20_000
"""Addresses of resources in other documents that are remembered."""


@dataclass(slots=True)
class Parcel:
    """A piece of a document under way: what is still to be sent, what was taken, what was refused.

    Parameters
    ----------
    doubtful
        It was sent, at some time, without an answer: what is there now may be ours.
    """

    packet: Packet
    open: list[Item]
    taken: dict[int, tuple[bool, str | None]] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    doubtful: bool = False

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


@dataclass(slots=True)
class Sender:
    """Brings documents to a server; ``addresses`` are those of what patients share, by type and id with us."""

    wire: Wire
    journal: Journal
    how: How
    capability: Capability
    shaper: Shaper
    dead: DeadLetters
    result: LoadResult
    addresses: dict[Target, str] = field(default_factory=dict)
    _searched: dict[str, str] = field(default_factory=dict)

    async def send(self, document: Document, *, shared: bool = False) -> None:
        """Send what of a document the server has not taken.

        Raises
        ------
        PublishError
            When the server is gone, refuses the credentials, or the time is up.
        """
        packet = self._packet(document)
        noted = self.journal.entries(packet.digest)
        if all(noted.get(item.place, NEVER)[0] for item in packet.items) and (
            not shared or await self._still_there(packet)
        ):
            self.result.earlier += bool(packet.items)
            return
        addresses = dict(self.addresses)
        refused: dict[int, Refused] = {}
        before = self.wire.traffic.answered
        queue = self._queue(packet, noted, addresses)
        while queue:
            piece, doubtful = queue.popleft()
            piece = self._sendable(piece, refused)
            if not piece:
                continue
            parcel = Parcel(packet, piece, doubtful=doubtful)
            await self._resolve(packet, piece, addresses)
            answer = await self._deliver(parcel, addresses, before)
            if answer is not None and answer.status_code == TOO_LARGE:
                smaller = self._smaller(parcel.open)
                if len(smaller) > 1:
                    queue.extendleft((one, parcel.doubtful) for one in reversed(smaller))
                    continue
            if answer is not None:
                parcel.reject_all(answer.status_code, self._why(answer))
            refused |= parcel.refused
            self._note(packet, piece, parcel, addresses)
        if shared:
            self.addresses |= addresses
        self._bury(packet, refused, addresses)
        self.result.loaded += not refused and bool(packet.items)

    def _why(self, answer: httpx.Response) -> dict[str, Any]:
        """The OperationOutcome of an answer, or one that says its words; without secrets."""
        why = body_of(answer)
        if why.get("resourceType") != "OperationOutcome":
            return outcome(self.wire.words(answer) + _advice(self.wire.access.advice(answer.status_code)))
        masked: dict[str, Any] = self.wire.access.masked(why)
        return masked

    async def _still_there(self, packet: Packet) -> bool:
        """Whether the server has what the journal says; then its addresses are known, too."""
        found = await find(self.wire, packet.items)
        self.addresses |= {item.target: found[item.place] for item in packet.items if item.place in found}
        self.addresses |= {item.target: "/".join(item.target) for item in packet.items if item.asked is None}
        return all(item.place in found or item.asked is None for item in packet.items)

    def _queue(
        self, packet: Packet, noted: dict[int, tuple[bool, str | None]], addresses: dict[Target, str]
    ) -> deque[tuple[list[Item], bool]]:
        """The pieces of a document, each with whether it may have been taken before.

        What may be repeated is sent whole. A plain POST may not: what was taken is left out, what was sent goes alone.
        """
        items = packet.items
        doubtful: list[Item] = []
        if self.how.mode == "post":
            addresses |= {i.target: at for i in items if (at := noted.get(i.place, NEVER)[1]) is not None}
            doubtful = [item for item in items if item.place in noted and not noted[item.place][0]]
            items = [item for item in items if item.place not in noted]
        parts = ((some, doubt) for some, doubt in ((doubtful, True), (items, False)) if some)
        return deque((piece, doubt) for some, doubt in parts for piece in cut(some, self.how))

    def _packet(self, document: Document) -> Packet:
        """The document as it can be sent to this server; what is left out is counted."""
        packet = Packet.of(document, self.shaper, self.how.mode, self.how.tag)
        asked = {item.place: (item.kind, _interaction(item)) for item in packet.items}
        refused = {one for one in set(asked.values()) if not self.capability.takes(*one)}
        strange = {place for place, one in asked.items() if one in refused}
        if not strange:
            return packet
        kept, left = packet.without(strange)
        for item in left:
            kind = "is not taken by the server" if item.place in strange else "refers to what the server does not take"
            self.result.left_out[f"{item.kind} {kind}"] += 1
        return kept

    def _sendable(self, piece: list[Item], refused: dict[int, Refused]) -> list[Item]:
        """Without what refers to something that was refused, or in a circle where that cannot be sent."""
        kept = list(piece)
        if self.how.sending != "transaction":
            here = {item.place for item in piece}
            why = outcome("refers in a circle to another entry, which needs a transaction", "not-supported")
            refused |= {item.place: (FAILED_DEPENDENCY, why) for item in piece if item.needs & here}
            kept = [item for item in kept if item.place not in refused]
        while lost := [item for item in kept if item.needs & refused.keys()]:
            why = outcome("refers to an entry of its Bundle that was refused", "not-found")
            refused |= {item.place: (FAILED_DEPENDENCY, why) for item in lost}
            kept = [item for item in kept if item.place not in refused]
        return kept

    async def _resolve(self, packet: Packet, piece: Sequence[Item], addresses: dict[Target, str]) -> None:
        """Learn the addresses of what a piece refers to: other pieces, other documents, conditional references."""
        here = {item.place for item in piece}
        needed = set().union(*(item.needs for item in piece)) - here
        lacking = [item for item in packet.items if item.place in needed and item.target not in addresses]
        if lacking:
            found = await find(self.wire, lacking)
            addresses |= {item.target: found[item.place] for item in lacking if item.place in found}
        self._literal(packet, piece)
        if self.how.sending != "transaction":
            await self._look_up(packet, piece, addresses)

    def _literal(self, packet: Packet, piece: Sequence[Item]) -> None:
        """References by our ids to what patients share, which the server gave others."""
        if not self.addresses:
            return
        texts = {text for item in piece for text in item.texts if text.count("/") == 1}
        for text in texts - packet.targets.keys():
            kind, _, name = text.partition("/")
            if (kind, name) in self.addresses:
                packet.targets[text] = (kind, name)

    async def _look_up(self, packet: Packet, piece: Sequence[Item], addresses: dict[Target, str]) -> None:
        """Conditional references, which are for transactions only, become the addresses of what they find."""
        texts = {text for item in piece for text in item.texts if "?" in text}
        for text in texts - packet.targets.keys():
            known = self.shaper.shared.get(text)
            if known is not None and target_of(*known) in addresses:
                continue
            if text not in self._searched:
                kind, _, query = text.partition("?")
                name, _, value = query.partition("=")
                there = [address async for address, _ in search(self.wire, kind, {name: value}, page=2)]
                if len(there) != 1 or len(self._searched) >= HELD:
                    continue
                self._searched[text] = there[0]
            packet.targets[text] = ("?", text)
            addresses["?", text] = self._searched[text]

    async def _deliver(self, parcel: Parcel, addresses: dict[Target, str], before: int) -> httpx.Response | None:
        """Send a piece until it is settled; the answer where it was refused as a whole."""
        pending = parcel.doubtful  # something was sent, and it is open what became of it

        async def step() -> tuple[httpx.Response, bool]:
            nonlocal pending
            if self.how.asking or (pending and self.how.mode == "post"):
                await self._ask(parcel, addresses, doubtful=pending)
                pending = False
                if not parcel.open:
                    return httpx.Response(200), False
            if self.how.mode == "post":
                self.journal.sent(parcel.packet.digest, parcel.packet.source, self._notes(parcel.open, parcel))
            try:
                answer, again = await self._once(parcel, addresses)
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
            if len(parcel.open) > 1 and self.how.sending != "single" and await self._answers():
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

    async def _ask(self, parcel: Parcel, addresses: dict[Target, str], *, doubtful: bool) -> None:
        """Which of what is open is there already."""
        found = await find(self.wire, parcel.open)
        addresses |= {item.target: found[item.place] for item in parcel.open if item.place in found}
        whole = doubtful and self.how.sending == "transaction" and bool(found) and not self.how.asking
        for item in parcel.open:
            if item.place in found or whole:
                parcel.settle(item, created=doubtful, address=found.get(item.place))
            elif doubtful and item.asked is None and (self.how.sending != "transaction" or _nameless(parcel.open)):
                why = "may have been taken or not, and has no identifier to ask the server by; look for it there"
                parcel.reject(item, 0, outcome(why, "incomplete"))
        parcel.close()

    async def _once(self, parcel: Parcel, addresses: dict[Target, str]) -> tuple[httpx.Response, bool]:
        resources = parcel.packet.written(parcel.open, addresses, self.how)
        if self.how.sending == "single":
            return await self._alone(parcel, parcel.open[0], resources[0])
        body = orjson.dumps(bundle(parcel.open, resources, self.how))
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
        request = request_of(item, self.how)
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

    def _smaller(self, items: list[Item]) -> list[list[Item]]:
        """The entries in pieces of half the size, which is from now on the most that is sent."""
        most = max(len(items) // 2, 1)
        size = max(sum(map(weigh, items)) // 2, 1)
        if self.how.most is None or most < self.how.most:
            self.result.adapted.append(
                f"{len(items):,} entries at once are too large for the server; {most:,} are sent at a time from now on"
            )
            self.how = replace(self.how, most=most, size=min(size, self.how.size or size))
        return list(cut(items, replace(self.how, most=most, size=size)))

    def _note(self, packet: Packet, piece: list[Item], parcel: Parcel, addresses: dict[Target, str]) -> None:
        done = [item for item in piece if item.place in parcel.taken]
        self.journal.take(packet.digest, packet.source, self._notes(done, parcel))
        if parcel.refused:
            self.journal.refuse(packet.digest, parcel.refused)
        for item in done:
            created, address = parcel.taken[item.place]
            self.result.created += created
            self.result.matched += not created
            self.result.types[item.kind] += 1
            if address is not None:
                addresses[item.target] = address
            elif item.condition is None and self.how.mode != "post":
                addresses[item.target] = "/".join(item.target)

    def _notes(self, items: Sequence[Item], parcel: Parcel) -> list[Taken]:
        """What the journal says of items: what was there after a request was lost counts as made by us.

        What was there before has no tag of ours, so that it cannot be counted.
        """
        found = []
        for item in items:
            created, address = parcel.taken.get(item.place, NEVER)
            created = created or parcel.doubtful
            untagged = item.run == self.how.tag and item.condition is not None and not created
            run = None if untagged else item.run
            found.append(Taken(item.place, run, *item.target, item.record, created, address))
        return found

    def _bury(self, packet: Packet, refused: dict[int, Refused], addresses: dict[Target, str]) -> None:
        """Tell of what was refused, and write it down as it can be loaded alone."""
        if not refused:
            return
        items = [item for item in packet.items if item.place in refused]
        urls = {
            item.target: f"{item.kind}?{item.asked}"
            for item in packet.items
            if item.asked and item.place not in refused
        }
        urls |= {item.target: item.url for item in items}
        entries = []
        for item in items:
            status, why = refused[item.place]
            resource = packet.shaper.rewritten(
                item.resource, packet.targets, {**addresses, **urls}, keep=True, texts=item.texts
            )
            response = {"status": str(status or 500), "outcome": why}
            request = request_of(item, self.how)
            entries.append({"fullUrl": item.url, "resource": resource, "request": request, "response": response})
        self.dead.add(packet.source, entries)
        reasons = Counter((status, outcome_words(why)) for status, why in refused.values())
        for (status, said), number in reasons.items():
            where = packet.source
            if number < len(packet.items):
                item = next(item for item in items if outcome_words(refused[item.place][1]) == said)
                more = f" and {number - 1:,} more" if number > 1 else ""
                where = f"{packet.source}, entry[{item.place}] {clean('/'.join(item.target))}{more}"
            self.result.refuse(Refusal(where, status, self.wire.access.clean(said)), number)


def _interaction(item: Item) -> str:
    return "update" if item.condition is None and item.mode != "post" else "create"


def _advice(text: str) -> str:
    return f"; {text}" if text else ""


def _says(why: Any) -> TypeGuard[dict[str, Any]]:
    return bool(outcome_words(why))


def _nameless(items: Sequence[Item]) -> bool:
    return all(item.asked is None for item in items)


def _address(item: Item, location: Any) -> str | None:
    """Type and id in a location, which may be absolute and name a version."""
    parts = str(location or "").partition("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 and parts[-2] == item.kind and parts[-1] else None
