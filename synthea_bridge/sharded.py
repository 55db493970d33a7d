"""Simulated patients in shards: each is one pure function of its number, done by an engine wherever that may be."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import orjson

from synthea_bridge.engines import Engine, Mark, Task, Tell, shown
from synthea_bridge.errors import ShortfallError
from synthea_bridge.files import write_json
from synthea_bridge.flatten import tables_in
from synthea_bridge.generate import KEPT, GenerateResult
from synthea_bridge.parquet import partition
from synthea_bridge.plan import plans
from synthea_bridge.prevalence import Part
from synthea_bridge.progress import Progress, silent
from synthea_bridge.shards import Shard, shards
from synthea_bridge.simulator import ENDS, HELD, synthea_jar
from synthea_bridge.sinks import Compression, conditions_of, lines_name, reading, write_resources, writing
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import GenerateSpec
from synthea_bridge.streams import CHUNK
from synthea_bridge.totals import summed

What = Literal["tables", "ndjson", "bundles"]
WHAT: Final[tuple[What, ...]] = ("tables", "ndjson", "bundles")
"""What can be written of each shard."""
SHARED: Final = "shared"
MANIFEST: Final = "manifest"


@dataclass(frozen=True, slots=True)
class ShardWork:
    """Simulates one shard.

    Parameters
    ----------
    closed
        Write also a Bundle of what the shard's Bundles refer to, so that it can be loaded before the others are there.
    """

    spec: GenerateSpec
    shard: Shard
    write: frozenset[What]
    compression: Compression
    closed: bool = False

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Write what is asked for; says what became of the people, and what the Bundles refer to."""
        told = _Told()
        bundles = folder / "bundles" / lines_name(self.shard.key, self.compression)
        lines = self.write - {"tables"}
        with ExitStack() as stack:
            tables = stack.enter_context(tables_in(folder, SkipLog(strict=True))) if "tables" in self.write else None
            file = stack.enter_context(writing(bundles, self.compression)) if lines else None
            for number, bundle in enumerate(self._simulate(told), start=1):
                if tables is not None:
                    tables.take(f"bundles/{self.shard.key}.ndjson:{number}", bundle)
                if file is not None:
                    bundle.seek(0)
                    shutil.copyfileobj(bundle, file, CHUNK)
                    file.write(b"\n")
                tell(told.kept / self.shard.quota)
        outcome: dict[str, Any] = {"plan": self.shard.plan, "counts": told.counts, "mends": told.mends}
        if tables is not None:
            outcome["tables"] = tables.result(self.shard.key).outcome if told.kept else None
            partition(folder, folder / "tables", self.shard.key)
        if lines:
            outcome["references"] = sorted(told.shared)
        if "ndjson" in self.write:
            with reading(bundles, self.compression) as whole:
                write_resources(whole, folder / "ndjson", self.shard.key, self.compression, told.shared)
        if lines and "bundles" not in self.write:
            bundles.unlink()
        if self.closed and told.bundle:
            with writing(
                folder / "bundles" / lines_name(f"{self.shard.key}.{SHARED}", self.compression), self.compression
            ) as file:
                file.write(told.bundle + b"\n")
        return outcome

    def _simulate(self, told: _Told) -> Iterator[IO[bytes]]:
        """The Bundles of those who are wanted, each to be read before the next."""
        shard = self.shard
        with HELD.simulator(self.spec, shard.plan) as helper:
            asked = helper.ask(cases=shard.plan > 0, start=shard.start, until=shard.until, wanted=shard.quota)
            for word, _, bundle, mends in asked:
                if word == "shared":
                    told.bundle = bundle.read()
                    told.shared |= conditions_of(orjson.loads(told.bundle).get("entry", ()))
                elif word not in ENDS:
                    told.counts[word] += 1
                    if word == KEPT[shard.plan > 0]:
                        told.mends.update(mends)
                        yield bundle


@dataclass(frozen=True, slots=True)
class SharedWork:
    """Writes the organisations, locations and practitioners that all shards refer to."""

    spec: GenerateSpec
    plan: int
    references: tuple[str, ...]
    write: frozenset[What]
    compression: Compression

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says how many there are."""
        with (
            tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch,
            HELD.simulator(self.spec, self.plan) as helper,
        ):
            file = Path(scratch) / "references"
            file.write_text("\n".join(self.references), encoding="utf-8")
            result = GenerateResult(self.spec)
            for word, _, found, _ in helper.ask(cases=False, start=0, until=0, wanted=0, references=file):
                if word == "shared":
                    result.share(found)
        bundle = result.shared_bundle()
        if "bundles" in self.write:
            with writing(folder / "bundles" / lines_name(SHARED, self.compression), self.compression) as lines:
                lines.write(bundle + b"\n")
        if "ndjson" in self.write:
            known = conditions_of(orjson.loads(bundle)["entry"])
            write_resources([bundle], folder / "ndjson", SHARED, self.compression, known)
        return {"resources": result.shared_resources}


@dataclass(frozen=True, slots=True)
class ManifestWork:
    """Writes manifests, once all else is there."""

    manifests: Mapping[str, Any]

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says nothing more."""
        for name, value in self.manifests.items():
            write_json(folder / name, value)
        return {}


class _Told:
    """What has been heard of a shard."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.mends: Counter[str] = Counter()
        self.shared: dict[str, str] = {}
        self.bundle = b""

    @property
    def kept(self) -> int:
        return sum(self.counts[kind] for kind in KEPT)


def generate_shards(
    spec: GenerateSpec,
    out: str,
    engine: Engine,
    write: Iterable[What],
    compression: Compression = "gzip",
    progress: Progress = silent,
    *,
    closed: bool = False,
) -> GenerateResult:
    """Simulate into ``out``, shard by shard; after a kill the same call goes on with the shards that are missing.

    Parameters
    ----------
    out
        Where the engine writes: ``tables/NAME/shard=KEY/NAME.parquet``, ``ndjson/TYPE/KEY.ndjson``,
        ``bundles/KEY.ndjson``, and at the end what all share, and ``manifest.json``.
    write
        What of these.
    closed
        Write with each shard's Bundles one of what they refer to.

    Raises
    ------
    ShortfallError
        When fewer patients were found than asked for; those that were found are in ``out``.
    UsageError
        When ``out`` holds shards that were made with other parameters.
    """
    what = frozenset(write)
    made_from = orjson.dumps([spec.key, sorted(what), compression, *(["closed"] if closed else [])]).decode()
    result, made, flattened, references = GenerateResult(spec), [], [], set[str]()
    todo = {plan.number: (plan, list(shards(spec, plan))) for plan in plans(spec, synthea_jar())}
    parts = {number: Part(plan.name, plan.wanted, plan.factor, plan.repeated) for number, (plan, _) in todo.items()}
    result.parts = list(parts.values())
    tasks = (
        Task(shard.key, ShardWork(spec, shard, what, compression, closed)) for _, own in todo.values() for shard in own
    )
    patients = spec.population + spec.cases
    progress(0, patients)

    tell = shown(progress, patients, sum(len(own) for _, own in todo.values()))
    try:
        with closing(engine.run(tasks, out, made_from=made_from, tell=tell)) as marks:  # type: ignore[type-var]
            for _, mark in marks:
                outcome = mark["outcome"]
                parts[outcome["plan"]].counts.update(outcome["counts"])
                result.mends.update(outcome["mends"])
                references.update(outcome.get("references", ()))
                flattened += [outcome["tables"]] if outcome.get("tables") else []
                made.append(_listed(mark))
        last = max(todo)
        if references:
            work = SharedWork(spec, last, tuple(sorted(references)), what, compression)
            for _, mark in engine.run([Task(SHARED, work)], out, made_from=made_from):
                result.shared_resources = mark["outcome"]["resources"]
                made.append(_listed(mark))
        outcome = _outcome(result, {number: [shard.key for shard in own] for number, (_, own) in todo.items()})
        manifests: dict[str, Any] = {"manifest.json": {**outcome, "shards": made}}
        if "tables" in what:
            of_tables = {"stage": "tables", "index_date": outcome["index_date"], **summed(flattened)}
            manifests["tables/manifest.json"] = {**of_tables, "generated": outcome}
        list(engine.run([Task(MANIFEST, ManifestWork(manifests))], out, made_from=made_from))
    finally:
        HELD.close()
    if result.shortfall:
        raise ShortfallError(f"{result.shortfall}; what was found is in {out}")
    return result


def _outcome(result: GenerateResult, keys: Mapping[int, list[str]]) -> dict[str, Any]:
    """What a manifest says, with the shards of each part."""
    outcome = result.outcome
    parts = [{**part, "shards": own} for part, own in zip(outcome["parts"], keys.values(), strict=True)]
    return {**outcome, "parts": parts}


def _listed(mark: Mark) -> dict[str, Any]:
    """A shard as the manifest lists it."""
    return {"key": mark["key"], "counts": mark["outcome"].get("counts", {}), "files": mark["files"]}
