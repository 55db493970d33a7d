"""One document after the other, each to its end: cut, sent, noted, and told of where it is refused."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from fhirsynth.publish.answers import body_of, clean, outcome_words
from fhirsynth.publish.capability import Capability
from fhirsynth.publish.dead import DeadLetters, outcome
from fhirsynth.publish.delivery import NEVER, TOO_LARGE, Courier, Parcel, Refused
from fhirsynth.publish.journal import Journal
from fhirsynth.publish.lookup import find, search
from fhirsynth.publish.parcel import How, Item, Packet, cut, request_of, weigh
from fhirsynth.publish.result import LoadResult, Refusal
from fhirsynth.publish.shape import Shaper, Target, target_of
from fhirsynth.publish.wire import Wire
from synthea_bridge.bundles import Document

FAILED_DEPENDENCY: Final = 424
HELD: Final = 20_000
"""Addresses of resources in other documents that are remembered."""


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
    _courier: Courier = field(init=False)

    def __post_init__(self) -> None:
        self._courier = Courier(self.wire, self.journal)

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
            parcel = Parcel(packet, self.how, addresses, piece, doubtful)
            await self._resolve(parcel)
            answer = await self._courier.deliver(parcel, before)
            if answer is not None and answer.status_code == TOO_LARGE:
                smaller = self._smaller(parcel.open)
                if len(smaller) > 1:
                    queue.extendleft((one, parcel.doubtful) for one in reversed(smaller))
                    continue
            if answer is not None:
                parcel.reject_all(answer.status_code, self._why(answer))
            refused |= parcel.refused
            self._note(parcel, piece)
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

    async def _resolve(self, parcel: Parcel) -> None:
        """Learn the addresses of what a piece refers to: other pieces, other documents, conditional references."""
        packet, addresses = parcel.packet, parcel.addresses
        here = {item.place for item in parcel.open}
        needed = set().union(*(item.needs for item in parcel.open)) - here
        lacking = [item for item in packet.items if item.place in needed and item.target not in addresses]
        if lacking:
            found = await find(self.wire, lacking)
            addresses |= {item.target: found[item.place] for item in lacking if item.place in found}
        self._literal(parcel)
        if self.how.sending != "transaction":
            await self._look_up(parcel)

    def _literal(self, parcel: Parcel) -> None:
        """References by our ids to what patients share, which the server gave others."""
        if not self.addresses:
            return
        texts = {text for item in parcel.open for text in item.texts if text.count("/") == 1}
        for text in texts - parcel.packet.targets.keys():
            kind, _, name = text.partition("/")
            if (kind, name) in self.addresses:
                parcel.packet.targets[text] = (kind, name)

    async def _look_up(self, parcel: Parcel) -> None:
        """Conditional references, which are for transactions only, become the addresses of what they find."""
        texts = {text for item in parcel.open for text in item.texts if "?" in text}
        for text in texts - parcel.packet.targets.keys():
            known = self.shaper.shared.get(text)
            if known is not None and target_of(*known) in parcel.addresses:
                continue
            if text not in self._searched:
                kind, _, query = text.partition("?")
                name, _, value = query.partition("=")
                there = [address async for address, _ in search(self.wire, kind, {name: value}, page=2)]
                if len(there) != 1 or len(self._searched) >= HELD:
                    continue
                self._searched[text] = there[0]
            parcel.packet.targets[text] = ("?", text)
            parcel.addresses["?", text] = self._searched[text]

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

    def _note(self, parcel: Parcel, piece: list[Item]) -> None:
        packet, addresses = parcel.packet, parcel.addresses
        done = [item for item in piece if item.place in parcel.taken]
        self.journal.take(packet.digest, packet.source, parcel.notes(done))
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
