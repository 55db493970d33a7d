"""Rows to lives, and tables, to checked Bundles on one core, beside ``fhir.resources`` alone parsing the same.

Usage: ``python -m benchmarks.assemble [FOLDER OF TABLES]``; without a folder, the fixtures are flattened.

Each round measures, in one process and one after the other: charts told of the sample's rows or read from tables,
resources written, checked and serialised; then ``model_validate_json`` of the models of ``fhir.resources`` on the same
resources. The memory is that of processes which write the Bundles of 200 and of 2,000 patients, copies of the sample's
rows, or of one of the fixtures.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fhir.resources.R4B import get_fhir_model_class

from fhirsynth.assemble import Timeline
from fhirsynth.assemble.bundle import to_json, transaction
from fhirsynth.assemble.chart import Chart
from fhirsynth.assemble.conform import check
from fhirsynth.assemble.inputs import read_rows
from fhirsynth.assemble.read import charts
from fhirsynth.assemble.shared import Shared
from fhirsynth.assemble.stage import YEARS
from fhirsynth.assemble.telling import tell
from fhirsynth.assemble.write import Origin, resources
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng
from synthea_bridge.flatten import flatten
from synthea_bridge.parquet import GROUP
from synthea_bridge.tables import TABLES

ROUNDS = 3
STEPS = ("make", "write", "check", "serialise")
PATIENTS = 20
"""Patients that are timed."""
SAMPLE = Path(__file__).parent.parent / "fhirsynth" / "sample"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "bundles"
TOLD = """
import sys, pathlib, pandas as pd
from fhirsynth.assemble import Timeline, assemble
from fhirsynth.assemble.inputs import read_rows
from fhirsynth.schema import FeatureSchema
sample, out, patients = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
schema = FeatureSchema.load(sample / "schema.json")
rows = read_rows(sample / "synthetic.parquet", schema)
rows = pd.concat([rows] * (patients // len(rows)), ignore_index=True)
rows["patient_id"] = [f"copy-{number}" for number in range(len(rows))]
assemble(rows, schema, Timeline.load(sample / "timeline.json"), run_id="r", out=out)
"""
REWRITTEN = """
import sys, pathlib
from fhirsynth.assemble.rewrite import rewrite
rewrite(pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]))
"""
PEAK = "print(pathlib.Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
"""Prints kilobytes; ``ru_maxrss`` would be that of this process, which a child takes over."""


def main() -> None:
    """Print resources per second and core, the ratios, and the peaks."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small = folder / "tables"
        flatten(FIXTURES, small)
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else small
        report("rows, told", lambda: islice(told(), PATIENTS), Origin("r", "augmented", Shared("r"), profiled=True))
        report("tables, read", lambda: islice(charts(source), PATIENTS), Origin(root="r"))
        of_rows = [peak(TOLD, SAMPLE, folder / f"told-{patients}", patients) for patients in (200, 2000)]
        of_tables = [peak(REWRITTEN, *copied(small, folder, patients), patients) for patients in (200, 2000)]
        for name, (low, high) in (("rows", of_rows), ("tables", of_tables)):
            print(
                f"{name}: peak {low:.0f} MB for 200 patients, {high:.0f} MB for 2,000, "
                f"{high / low:.2f} times (goal: <= 1.2)"
            )


def told() -> Iterator[Chart]:
    """Lives of the sample's rows."""
    schema, timeline = FeatureSchema.load(SAMPLE / "schema.json"), Timeline.load(SAMPLE / "timeline.json")
    for row in read_rows(SAMPLE / "synthetic.parquet", schema).to_dict("records"):
        patient = str(row.pop("patient_id"))
        named = {str(name): value for name, value in row.items()}
        yield tell("r", patient, named, schema, timeline, rng(0, "life", patient), years=YEARS)


def report(name: str, make: Callable[[], Iterator[Chart]], origin: Origin) -> None:
    """Print how many resources a second come of these charts, and how many ``fhir.resources`` alone parses."""
    rounds = [measure(make(), origin) for _ in range(ROUNDS)]
    print(name)
    for step in STEPS:
        print(f"  {step:<10} {median(parts[step] for _, parts, _ in rounds):6.2f} s")
    count = rounds[0][0]
    ours = median(sum(parts.values()) for _, parts, _ in rounds)
    alone = median(parsing for _, _, parsing in rounds)
    print(
        f"  {count:,} resources: {count / ours:,.0f} a second and core, with writing, checking and serialising (goal: "
        f">= 3,000); fhir.resources alone parses {count / alone:,.0f}; ratio {alone / ours:.2f}"
    )


@dataclass(slots=True)
class Laps:
    """Processor seconds by name of what was done since the lap before."""

    seconds: Counter[str] = field(default_factory=Counter)
    last: float = field(default_factory=time.process_time)

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name] += now - self.last  # type: ignore[assignment]
        self.last = now


def measure(made: Iterator[Chart], origin: Origin) -> tuple[int, dict[str, float], float]:
    """Resources, seconds of each step, and seconds in which ``fhir.resources`` parses the same."""
    laps, count = Laps(), 0
    for chart in made:
        laps.lap("make")
        written = list(resources(chart, origin))
        laps.lap("write")
        for one in written:
            check(one, "")
        laps.lap("check")
        to_json(transaction("r", "x", written))
        laps.lap("serialise")
        lines = [(get_fhir_model_class(one["resourceType"]), orjson.dumps(one)) for one in written]
        laps.lap("")
        for model, line in lines:
            model.model_validate_json(line)
        laps.lap("alone")
        count += len(written)
    return count, {name: laps.seconds[name] for name in STEPS}, laps.seconds["alone"]


def peak(code: str, source: Path, out: Path, patients: int) -> float:
    """The most megabytes that a process holds which writes so many patients."""
    out.mkdir()
    command = [sys.executable, "-c", code + PEAK, source, out, str(patients)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) / 1024


def copied(source: Path, folder: Path, patients: int) -> tuple[Path, Path]:
    """Tables with so many copies of one patient, and a folder for their Bundles."""
    tables = folder / f"tables-{patients}"
    tables.mkdir()
    name = pq.read_table(source / "patients.parquet")["patient_id"][0]
    for table in TABLES:
        rows = pq.read_table(source / f"{table.name}.parquet")
        rows = rows.filter(pc.equal(rows["patient_id"], name))
        many = pa.concat_tables(copies(rows, patients))
        pq.write_table(many, tables / f"{table.name}.parquet", row_group_size=GROUP)
    return tables, folder / f"bundles-{patients}"


def copies(rows: pa.Table, times: int) -> Iterator[pa.Table]:
    """The rows with other ids, so often."""
    for number in range(times):
        made = rows
        for place, name in enumerate(rows.column_names):
            if name.endswith("_id"):
                made = made.set_column(place, rows.schema.field(place), renamed(rows[name], number))
        yield made


def renamed(ids: pa.ChunkedArray, number: int) -> pa.ChunkedArray:
    """The ids of a copy: the first four characters are its number."""
    return pc.binary_replace_slice(ids, 0, 4, f"{number:04x}")


if __name__ == "__main__":
    main()
