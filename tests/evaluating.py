"""``fhirsynth evaluate`` called as the console script does, for tests of what it reads and what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fhirsynth.cli import main

NAMES = ("train", "holdout", "synthetic")
Frames = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Call = Callable[..., Result]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Something that runs the command with its arguments."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["fhirsynth", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return run


def refused(result: Result, code: int, *words: str) -> None:
    """One line that names what is wrong, and nothing that looks like our code."""
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    assert "Warning" not in result.err
    assert result.out == ""
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    assert result.err.splitlines()[-1] == lines[0]
    for word in words:
        assert word in lines[0]


def patients(rows: int = 60) -> Frames:
    """Rows as anybody has them, of one population: ages, a measurement, a word and a target of 0 and 1."""
    made = {}
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        ill = rng.random(rows) < 0.4
        made[name] = pd.DataFrame(
            {
                "age": rng.integers(18, 90, rows),
                "bmi": rng.normal(25 + 3 * ill, 4).round(1),
                "sex": rng.choice(["f", "m"], rows),
                "relapse": ill.astype(int),
            }
        )
    return made


def changed(change: Callable[[pd.DataFrame], pd.DataFrame], only: str | None = None, rows: int = 60) -> Frames:
    """The same with a change, to one table or to all."""
    return {name: change(frame) if only in (None, name) else frame for name, frame in patients(rows).items()}


def saved(folder: Path, tables: Mapping[str, pd.DataFrame | bytes], kind: str = "csv") -> list[Path]:
    """Tables, or the bytes of their files, on disk; where they lie."""
    places = []
    for name, table in tables.items():
        places.append(folder / f"{name}.{kind}")
        if isinstance(table, bytes):
            places[-1].write_bytes(table)
        elif kind == "parquet":
            table.to_parquet(places[-1])
        else:
            table.to_csv(places[-1], index=False)
    return places


def options(places: list[Path]) -> list[str]:
    """The options that name train, holdout and synthetic, and the folder of the report beside them."""
    named = [word for name, place in zip(NAMES, places, strict=True) for word in (f"--{name}", str(place))]
    return [*named, "--out", str(places[0].parent / "report")]
