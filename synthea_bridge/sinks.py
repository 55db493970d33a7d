"""FHIR in lines, compressed: one Bundle a line, or one resource a line and a file a type; the same bytes every time."""

from __future__ import annotations

import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import msgspec
import orjson
import pyarrow as pa

Compression = Literal["gzip", "zstd", "none"]
SUFFIXES: Final[Mapping[Compression, str]] = {"gzip": ".gz", "zstd": ".zst", "none": ""}
LEVEL: Final = 6
"""Of gzip: a patient takes some 18 ms; level 9 takes half as long again, for 1 % less."""
_REFERENCE: Final = re.compile(rb'"reference":"([^"#][^"]*)"')


class _Named(msgspec.Struct):
    resourceType: str  # noqa: N815
    id: str


class _Entry(msgspec.Struct):
    fullUrl: str  # noqa: N815
    resource: msgspec.Raw


class _Bundle(msgspec.Struct):
    entry: list[_Entry]


_BUNDLE: Final = msgspec.json.Decoder(_Bundle).decode
"""Resources stay bytes: parsed, a large Bundle takes ten times as many."""
_NAMED: Final = msgspec.json.Decoder(_Named).decode


def lines_name(stem: str, compression: Compression) -> str:
    """The name of a file of lines."""
    return f"{stem}.ndjson{SUFFIXES[compression]}"


@contextmanager
def writing(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """A new file for bytes, compressed; neither time nor name are in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        if compression == "gzip":
            with gzip.GzipFile("", "wb", LEVEL, handle, mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        elif compression == "zstd":
            with pa.CompressedOutputStream(handle, "zstd") as packed:
                yield packed
        else:
            yield handle


@contextmanager
def reading(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """The bytes of a file that :func:`writing` has written."""
    with path.open("rb") as handle:
        if compression == "gzip":
            with gzip.GzipFile(fileobj=handle) as unpacked:
                yield cast("IO[bytes]", unpacked)
        elif compression == "zstd":
            with io.BufferedReader(pa.CompressedInputStream(handle, "zstd")) as unpacked:
                yield unpacked
        else:
            yield handle


def write_resources(
    bundles: Iterable[bytes],
    folder: Path,
    stem: str,
    compression: Compression,
    shared: Mapping[str, str],
) -> Counter[str]:
    """Write each resource into ``folder/TYPE/STEM.ndjson…``, references as ``Type/id``; how many there are by type.

    Parameters
    ----------
    bundles
        Bundles with their ids in ``fullUrl``.
    shared
        ``Type/id`` by conditional reference; one that is not there stays as it is.
    """
    written: Counter[str] = Counter()
    known = {condition.encode(): target.encode() for condition, target in shared.items()}
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for bundle in bundles:
            entries = _BUNDLE(bundle).entry
            names = [_NAMED(entry.resource) for entry in entries]
            own = {
                entry.fullUrl.encode(): f"{one.resourceType}/{one.id}".encode()
                for entry, one in zip(entries, names, strict=True)
            }

            def refer(found: re.Match[bytes], own: Mapping[bytes, bytes] = own) -> bytes:
                return b'"reference":"%b"' % (own.get(found[1]) or known.get(found[1]) or found[1])

            for entry, named in zip(entries, names, strict=True):
                kind = named.resourceType
                if kind not in files:
                    file = folder / kind / lines_name(stem, compression)
                    files[kind] = stack.enter_context(writing(file, compression))
                line = orjson.dumps(orjson.loads(memoryview(entry.resource)))
                files[kind].write(_REFERENCE.sub(refer, line) + b"\n")
                written[kind] += 1
    return written


def conditions_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """``Type/id`` of shared resources, by the conditional references that find them."""
    return {
        f"{entry['request']['url']}?{entry['request']['ifNoneExist']}": _target(entry["resource"]) for entry in entries
    }


def _target(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"
