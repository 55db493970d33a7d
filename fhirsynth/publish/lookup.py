"""Ask a server which of our resources it has: by identifier, by id, by tag."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from fhirsynth.assemble.identity import RECORD
from fhirsynth.errors import PublishError
from fhirsynth.publish.answers import body_of
from fhirsynth.publish.parcel import Item
from fhirsynth.publish.wire import Wire
from synthea_bridge.tags import RUN_TAG

TOGETHER: Final = 40
"""Identifiers that are asked for in one search: more would make the address too long."""
PAGE: Final = 200
"""Resources of a page of a search."""


async def find(wire: Wire, items: Sequence[Item]) -> dict[int, str]:
    """Type and id on the server of the items that it has, by place; items without an identifier are not found.

    Raises
    ------
    PublishError
        When the server cannot be asked.
    """
    found: dict[int, str] = {}
    by_kind: dict[str, dict[str, int]] = {}
    for item in items:
        name, _, value = (item.asked or "").partition("=")
        if name == "identifier" and value:
            by_kind.setdefault(item.kind, {})[value] = item.place
        elif item.asked:
            addresses = [address async for address, _ in search(wire, item.kind, dict([item.asked.split("=", 1)]))]
            found |= dict.fromkeys((item.place,), addresses[0]) if len(addresses) == 1 else {}
    for kind, places in by_kind.items():
        values = list(places)
        for start in range(0, len(values), TOGETHER):
            asked = ",".join(_escaped(value) for value in values[start : start + TOGETHER])
            async for address, resource in search(wire, kind, {"identifier": asked, "_elements": "identifier"}):
                for value in identifiers_of(resource):
                    if value in places:
                        found[places[value]] = address
    return found


async def search(
    wire: Wire, kind: str, parameters: dict[str, str], page: int = PAGE
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """What a search finds, over all its pages: type and id, and the resource.

    Raises
    ------
    PublishError
        When the server cannot be asked, or a page leads to another server.
    """
    answer = await wire.get(kind, {**parameters, "_count": str(page)})
    while True:
        if not answer.is_success:
            raise PublishError(f"{wire.base}/{kind}: cannot be searched ({answer.status_code}: {wire.words(answer)})")
        bundle = body_of(answer)
        for entry in bundle.get("entry") or []:
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict) and resource.get("resourceType") == kind and resource.get("id"):
                yield f"{kind}/{resource['id']}", resource
        following = _next(bundle)
        if following is None:
            return
        answer = await wire.get(_same_server(wire.base, following))


async def count(wire: Wire, kind: str, run: str) -> int:
    """How many resources of a type carry the tag of a run.

    Raises
    ------
    PublishError
        When the server cannot be asked.
    """
    answer = await wire.get(kind, {"_tag": f"{RUN_TAG}|{run}", "_summary": "count"})
    total = body_of(answer).get("total")
    if not answer.is_success:
        raise PublishError(f"{wire.base}/{kind}: cannot be counted ({answer.status_code}: {wire.words(answer)})")
    if isinstance(total, int):
        return total
    return len([address async for address, _ in tagged(wire, kind, run)])


async def tagged(
    wire: Wire, kind: str, run: str, elements: str | None = "meta"
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Resources of a type that carry the tag of a run: seen in each one, whatever the server makes of the search."""
    parameters = {"_tag": f"{RUN_TAG}|{run}"} | ({"_elements": elements} if elements is not None else {})
    async for address, resource in search(wire, kind, parameters):
        if run in runs_of(resource):
            yield address, resource


def runs_of(resource: dict[str, Any]) -> list[str]:
    """The runs that a resource is tagged with."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return [
        str(tag.get("code"))
        for tag in (tags if isinstance(tags, list) else [])
        if isinstance(tag, dict) and tag.get("system") == RUN_TAG
    ]


def identifiers_of(resource: dict[str, Any]) -> Iterable[str]:
    """``system|value`` of each identifier."""
    listed = resource.get("identifier")
    for one in listed if isinstance(listed, list) else [listed]:
        if isinstance(one, dict) and one.get("value"):
            yield f"{one.get('system', '')}|{one['value']}"


def record_of(resource: dict[str, Any]) -> str | None:
    """The value of the identifier that every resource of ours carries."""
    parts = (one.rpartition("|") for one in identifiers_of(resource))
    return next((value for system, _, value in parts if system == RECORD), None)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$")


def _next(bundle: dict[str, Any]) -> str | None:
    for link in bundle.get("link") or []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            url: str = link["url"]
            return url
    return None


def _same_server(base: str, url: str) -> str:
    """The page's address, which must be of the server that was asked, or what credentials there are go elsewhere."""
    whole = urljoin(f"{base}/", url)
    there, here = urlsplit(whole), urlsplit(base)
    if (there.scheme, there.netloc) == (here.scheme, here.netloc):
        return whole
    # A server behind a proxy often names itself by its inner address: ask for the same page where we reached it.
    return here._replace(path=there.path, query=there.query).geturl()
