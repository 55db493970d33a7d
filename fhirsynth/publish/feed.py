"""Shards into a FHIR server while the next ones are made; the Bundles of those that are there can go."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fhirsynth.errors import UsageError
from fhirsynth.publish.result import LoadResult
from synthea_bridge.engines import Engine, Mark, Task, Tell, unheard
from synthea_bridge.files import read_json, write_json
from synthea_bridge.place import MARKS, Place

BUNDLES: Final = "bundles/"
LOADED: Final = "_loaded"
"""The folder that says which shards are on the server; readers of data sets leave out such names."""

Send = Callable[[Path, Path, Path], LoadResult]
"""Loads a folder of Bundles; takes it, a file for the journal, and one for dead letters."""


@dataclass(slots=True)
class Feed:
    """An engine that also loads each shard's Bundles, one shard after the other, while the next ones are made.

    Parameters
    ----------
    inner
        Makes the shards, in a folder of this machine.
    url
        FHIR base of the server.
    send
        Loads.
    most
        Bytes of Bundles that may wait for the server before no further shard is begun; Bundles that are loaded are
        removed. None: any number, and they stay.
    results
        What became of the shards that were loaded by this call, by key.
    """

    inner: Engine
    url: str
    send: Send
    most: int | None = None
    results: dict[str, LoadResult] = field(default_factory=dict)

    def place(self, where: str) -> Place:
        """See :class:`synthea_bridge.engines.Engine`; any folder."""
        return self.inner.place(where)

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, tell: Tell = unheard
    ) -> Iterator[tuple[str, Mark]]:
        """See :class:`synthea_bridge.engines.Engine`; what the server has is not sent again.

        Raises
        ------
        fhirsynth.errors.PublishError
            When the server is gone or refuses the credentials; what is made and loaded stays.
        """
        root = Path(out)
        waiting: deque[tuple[Future[None], int]] = deque()
        pool = ThreadPoolExecutor(1)
        try:
            made: Any = self.inner.run(tasks, out, made_from=made_from, tell=tell)
            with closing(made) as marks:
                for key, mark in marks:
                    files = {name: told["bytes"] for name, told in mark["files"].items() if name.startswith(BUNDLES)}
                    if files and not self._is_loaded(root, key):
                        waiting.append((pool.submit(self._load, root, key, list(files)), sum(files.values())))
                    while waiting and (waiting[0][0].done() or self._too_many(size for _, size in waiting)):
                        waiting.popleft()[0].result()
                    yield key, mark
            while waiting:
                waiting.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)

    @property
    def whole(self) -> bool:
        """Whether the server has taken everything."""
        return all(result.whole for result in self.results.values())

    def total(self, name: str) -> int:
        """The sum of a count of :class:`LoadResult` over the shards of this call."""
        return sum(int(getattr(result, name)) for result in list(self.results.values()))

    def _too_many(self, sizes: Iterable[int]) -> bool:
        return self.most is not None and sum(sizes) > self.most

    def _is_loaded(self, root: Path, key: str) -> bool:
        path = root / LOADED / f"{key}.json"
        if not path.exists():
            return False
        there = str(read_json(path)["url"])
        if there != self.url:
            raise UsageError(f"{path}: this shard is on {there}; give that address again, or choose another --out")
        return True

    def _load(self, root: Path, key: str, names: list[str]) -> None:
        """Load the Bundles of a shard; its mark is there when the server has all of them."""
        noted = root / LOADED
        noted.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix=f".{key}.", dir=root / MARKS) as scratch:
            for name in names:
                (Path(scratch) / Path(name).name).symlink_to((root / name).absolute())
            result = self.send(Path(scratch), noted / "journal.sqlite", noted / f"{key}.refused.ndjson")
        self.results[key] = result
        if result.whole:
            write_json(noted / f"{key}.json", result.outcome)
            for name in names if self.most is not None else ():
                (root / name).unlink()
