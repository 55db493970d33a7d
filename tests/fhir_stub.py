"""A FHIR server in a dictionary, for tests: transactions, batches, conditional creates, searches, faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson

URL = "http://127.0.0.1:1/fhir"
Resource = dict[str, Any]
Fault = Callable[[httpx.Request], httpx.Response | None]


def outcome(status: int, words: str, **headers: str) -> httpx.Response:
    """A refusal."""
    body = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": words}]}
    return httpx.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


class Refused(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass
class Stub:
    """Answers requests; ``faults`` come first, one a request with a body.

    Parameters
    ----------
    lost
        Share of the requests that are acted on and whose answer is lost.
    most
        Entries that a Bundle may have.
    refuses
        Ids of resources that are not taken.
    checks
        Whether references have to point to something.
    unseen
        Requests until a conditional create sees what another has created: the server does not keep them apart.
    """

    faults: list[httpx.Response | httpx.TransportError] = field(default_factory=list)
    system: tuple[str, ...] = ("transaction", "batch")
    conditional: bool = True
    own_ids: bool = False
    types: tuple[str, ...] | None = None
    version: str = "4.0.1"
    most: int | None = None
    refuses: set[str] = field(default_factory=set)
    checks: bool = True
    page: int = 50
    lost: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(3))
    have: dict[str, Resource] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    searches: int = 0
    ignores: frozenset[str] = frozenset()
    unseen: int = 0
    _next: int = 1000
    _made: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/fhir").strip("/")
        if path == "metadata":
            return httpx.Response(200, json=self.statement())
        if request.method == "GET":
            self.searches += 1
            if "/" in path:
                return httpx.Response(200, json=self.have[path]) if path in self.have else outcome(404, "gone")
            return self.search(request, path)
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        answer = self.act(request, path)
        if self.lost and self.rng.random() < self.lost:
            raise httpx.ReadError("reset")
        return answer

    @property
    def posted(self) -> list[Resource]:
        """Bodies that were sent."""
        return [orjson.loads(request.content) for request in self.requests if request.content]

    def counts(self) -> Counter[str]:
        """Resources by type."""
        return Counter(key.partition("/")[0] for key in self.have)

    def records(self) -> Counter[str]:
        """How often each record is there."""
        return Counter(
            one["value"]
            for resource in self.have.values()
            for one in resource.get("identifier", [])
            if one.get("system") == "urn:fhirsynth:record"
        )

    def statement(self) -> Resource:
        kinds = self.types or ("Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure")
        kinds = (*kinds, "Organization", "Location", "Practitioner") if self.types is None else kinds
        codes = [{"code": code} for code in ("create", "update", "delete", "read", "search-type")]
        listed = [
            {"type": kind, "interaction": codes, "conditionalCreate": self.conditional, "updateCreate": self.own_ids}
            for kind in kinds
        ]
        system = [{"code": code} for code in self.system]
        rest = [{"mode": "server", "interaction": system, "resource": listed}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": self.version, "rest": rest}

    def act(self, request: httpx.Request, path: str) -> httpx.Response:
        before = dict(self.have)
        try:
            if request.method == "DELETE":
                return self.delete(path)
            body = orjson.loads(request.content)
            if path:
                condition = request.headers.get("If-None-Exist")
                status, key = self.put(request.method, path, condition, self.linked(body, {}))
                return httpx.Response(status, headers={"Location": f"{URL}/{key}/_history/1"})
            return self.bundle(body)
        except Refused as refusal:
            self.have = before
            return outcome(refusal.status, refusal.words)

    def bundle(self, body: Resource) -> httpx.Response:
        entries = body["entry"]
        if self.most is not None and len(entries) > self.most:
            return outcome(413, "too large")
        if body["type"] not in self.system:
            raise Refused(400, f"no {body['type']}")
        answers = []
        if body["type"] == "batch":
            for entry in entries:
                assert "urn:uuid" not in str(entry.get("resource", ""))
                try:
                    answers.append(self.entry(entry, {}))
                except Refused as refusal:
                    words = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": refusal.words}]}
                    answers.append({"response": {"status": str(refusal.status), "outcome": words}})
        else:
            known: dict[str, str] = {}
            for entry in entries:
                request = entry["request"]
                key = self.found(request["url"], request.get("ifNoneExist")) or (
                    request["url"] if request["method"] == "PUT" else f"{request['url']}/{self.fresh()}"
                )
                known[entry.get("fullUrl", key)] = key
            keys = set(known.values())
            answers = [self.entry(entry, known, keys) for entry in entries]
        kind = f"{body['type']}-response"
        return httpx.Response(200, json={"resourceType": "Bundle", "type": kind, "entry": answers})

    def entry(self, entry: Resource, known: dict[str, str], here: set[str] | None = None) -> Resource:
        request = entry["request"]
        if request["method"] == "DELETE":
            answer = self.delete(request["url"])
            if answer.status_code >= 400:
                raise Refused(answer.status_code, "is referred to")
            return {"response": {"status": "204"}}
        resource = self.linked(entry["resource"], known, here or set())
        key = known.get(entry.get("fullUrl", ""))
        status, key = self.put(request["method"], request["url"], request.get("ifNoneExist"), resource, key)
        return {"response": {"status": str(status), "location": f"{key}/_history/1"}}

    def put(
        self, method: str, path: str, condition: str | None, resource: Resource, key: str | None = None
    ) -> tuple[int, str]:
        if resource.get("id") in self.refuses:
            raise Refused(422, f"{resource['id']} is not liked\n at all")
        if method == "PUT":
            there = path in self.have
            self.have[path] = resource
            return (200 if there else 201), path
        found = self.found(path, condition if self.conditional else None)
        if found is not None:
            return 200, found
        key = key or f"{path}/{self.fresh()}"
        self.have[key] = {**resource, "id": key.partition("/")[2]}
        self._made[key] = len(self.requests)
        return 201, key

    def found(self, kind: str, condition: str | None) -> str | None:
        matches = self.matching(kind, parse_qs(condition)) if condition and self.conditional else []
        matches = [key for key in matches if len(self.requests) - self._made.get(key, 0) >= self.unseen]
        if len(matches) > 1:
            raise Refused(412, "matches several")
        return matches[0] if matches else None

    def linked(self, resource: Resource, known: dict[str, str], here: set[str] | None = None) -> Resource:
        def walk(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: refer(v) if k == "reference" else walk(v) for k, v in value.items()}
            return [walk(one) for one in value] if isinstance(value, list) else value

        def refer(text: str) -> str:
            if "?" in text:
                kind, _, query = text.partition("?")
                matches = self.matching(kind, parse_qs(query))
                if len(matches) != 1:
                    raise Refused(404, f"{text} matches {len(matches)}")
                return matches[0]
            text = known.get(text, text)
            if self.checks and text not in self.have and text not in (here or set()):
                raise Refused(404, f"{text} is not there")
            return text

        walked: Resource = walk(resource)
        return walked

    def delete(self, path: str) -> httpx.Response:
        if path not in self.have:
            return httpx.Response(204)
        if self.checks and any(f'"{path}"' in orjson.dumps(one).decode() for k, one in self.have.items() if k != path):
            return outcome(409, f"{path} is referred to")
        del self.have[path]
        return httpx.Response(204)

    def search(self, request: httpx.Request, kind: str) -> httpx.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        keys = self.matching(kind, query)
        if query.get("_summary") == ["count"]:
            return httpx.Response(200, json={"resourceType": "Bundle", "total": len(keys)})
        start = int(query.get("_offset", ["0"])[0])
        size = min(self.page, int(query.get("_count", ["50"])[0]))
        bundle: Resource = {
            "resourceType": "Bundle",
            "entry": [{"resource": self.have[key]} for key in keys[start : start + size]],
        }
        if start + size < len(keys):
            following = request.url.copy_set_param("_offset", str(start + size))
            bundle["link"] = [{"relation": "next", "url": str(following)}]
        return httpx.Response(200, json=bundle)

    def matching(self, kind: str, query: dict[str, list[str]]) -> list[str]:
        wanted = set(",".join(query.get("identifier", [])).split(",")) - {""}
        tags = set() if "_tag" in self.ignores else set(query.get("_tag", []))

        def fits(resource: Resource) -> bool:
            have = {f"{one.get('system', '')}|{one['value']}" for one in resource.get("identifier", [])}
            tagged = {f"{one['system']}|{one['code']}" for one in resource.get("meta", {}).get("tag", [])}
            return (not wanted or bool(wanted & have)) and tags <= tagged

        return [key for key, one in self.have.items() if key.startswith(f"{kind}/") and fits(one)]

    def fresh(self) -> int:
        self._next += 1
        return self._next
