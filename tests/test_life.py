"""People who are simulated in our own way live as Synthea's generator has them live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from synthea_bridge import simulator
from synthea_bridge.jvm import class_path, compile_sources
from synthea_bridge.plan import plans
from synthea_bridge.spec import GenerateSpec

OURS = {
    b"new Life(options)": b"new Generator(options, new Exporter.ExporterRuntimeOptions())",
    b"TimedTable.install();": b"",
}
"""What in the helper makes it quicker, and what takes its place."""
IN_PLACE = ("InnerClassTypeAdapterFactory.java", "Well19937c.java")
"""Classes that stand before others of their name in Synthea's jars."""


@pytest.fixture(scope="module")
def plain() -> list[Path]:
    """The class path of the helper as it is without what makes it quicker."""
    jars = class_path("synthea")
    folder = resources.files("synthea_bridge").joinpath("java", "simulate")
    sources = {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".java") and file.name not in IN_PLACE
    }
    changed = sources["Simulate.java"]
    for ours, theirs in OURS.items():
        assert ours in changed
        changed = changed.replace(ours, theirs)
    return [compile_sources("Simulate", {**sources, "Simulate.java": changed}, jars), *jars]


def people(spec: GenerateSpec, wanted: int) -> Iterator[tuple[str, int, bytes]]:
    """The first people of a simulation."""
    (plan,) = plans(spec, next(jar for jar in class_path("synthea") if jar.name.startswith("synthea-")))
    with simulator.simulator(spec, plan) as running:
        for word, index, bundle, _ in running.ask(cases=False, start=0, until=100, wanted=wanted):
            yield word, index, bundle.read()


@pytest.mark.slow
def test_lives_are_those_of_syntheas_own_generator(plain: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = GenerateSpec(population=8, seed=11, threads=os.cpu_count() or 1)
    ours = list(people(spec, 8))
    monkeypatch.setattr(simulator, "class_path", lambda *_: plain)
    assert ours == list(people(spec, 8))
    assert sum(word == "control" for word, _, _ in ours) == 8
