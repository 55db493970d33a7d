"""Histories made of rules, for tests: people with visits, an illness that comes back, orders with reasons, values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthea_bridge.dates import day_of, instant_of
from synthea_bridge.tables import LOINC, TABLES

INDEX = date(2026, 1, 1)
BEGIN = datetime(2010, 3, 1, 9, tzinfo=UTC)
KEYS = {table.name: table.key[0] for table in TABLES}
Rows = dict[str, list[dict[str, Any]]]

PANEL = ("hemoglobin", "platelets", "leukocytes")


def names(first: int, last: int, prefix: str = "p") -> list[str]:
    """What patients are called."""
    return [f"{prefix}{number}" for number in range(first, last)]


def at(days: float) -> str:
    """So many days after :data:`BEGIN`."""
    return (BEGIN + timedelta(days=float(days))).isoformat()


def save(folder: Path, rows: Rows) -> Path:
    """The tables of a folder; times are given as text, and ids are filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        made = []
        for number, given in enumerate(rows.get(table.name, [])):
            row = {KEYS[table.name]: f"{table.name}-{number}", "component": 0, "deceased": False, **given}
            for name in [name for name in row if f"{name}_text" in table.names and isinstance(row[name], str)]:
                row[f"{name}_text"] = row[name]
                row[name] = day_of(row[name]) if name == "birth_date" else instant_of(row[name])
            made.append({name: row.get(name) for name in table.names})
        pq.write_table(pa.Table.from_pylist(made, table.schema), folder / f"{table.name}.parquet")
    return folder


def told(
    people: int,
    seed: int,
    *,
    prefix: str = "p",
    origin: str | None = None,
    emergencies: float = 0.2,
    summer: float = 0.0,
    whole_panel: float = 0.9,
    illnesses: float = 2.0,
    onset: float = 0.0,
    ends: float = 0.8,
    lasts: float = 20.0,
    reason: float = 0.7,
    early: float = 0.0,
    swing: float = 1.0,
    rare: float = 0.3,
    shuffled: bool = False,
) -> Rows:
    """Rows of ``people``; every other argument changes one thing that is judged.

    Parameters
    ----------
    people, seed, prefix, origin
        How many, which draw, how they are called, and what their tables say of where they come from.
    emergencies, summer
        Share of visits that are emergencies, and that are moved into July.
    whole_panel
        Share of blood counts that are whole.
    illnesses, onset, ends, lasts
        Infections of a patient, years by which they come late, the share that ends, and days that they last.
    reason, early
        Share of orders that name their reason, and that are before it.
    swing
        How much the values of one patient vary.
    rare
        Share of patients with a procedure.
    shuffled
        Events of each patient are told in another order.
    """
    draw = np.random.default_rng(seed)
    rows: Rows = {table.name: [] for table in TABLES}
    for number in range(people):
        name = f"{prefix}{number}"
        birth = f"{draw.integers(1950, 2000)}-06-15"
        sex = str(draw.choice(["female", "male"]))
        rows["patients"].append({"patient_id": name, "birth_date": birth, "gender": sex, "origin": origin})
        days = np.sort(draw.uniform(0, 5500, int(draw.integers(8, 24))))
        july = draw.random(len(days)) < summer
        days = np.where(july, np.floor(days / 365.25) * 365.25 + 130, days)
        level = draw.normal(13, 1)
        for count, day in enumerate(days):
            visit = f"{name}-{count}"
            class_ = "EMER" if draw.random() < emergencies else "AMB"
            kind = "problem" if class_ == "EMER" else "check-up"
            encounter = {"encounter_id": visit, "patient_id": name, "class_code": class_, "status": "finished"}
            encounter |= {"type_code": kind, "type_display": kind.capitalize(), "start": at(day), "end": at(day + 0.02)}
            rows["encounters"].append(encounter)
            codes = PANEL if draw.random() < whole_panel else PANEL[:1]
            for code in codes:
                value = float(level + draw.normal(0, swing))
                seen = {"encounter_id": visit, "effective": at(day + 0.01), "value_number": value, "value_unit": "g/dL"}
                rows["observations"].append(_entry(name, code, system=LOINC, status="final", **seen))
            if draw.random() < rare:
                start = at(day + (0.01 if not shuffled else -0.3))
                rows["procedures"].append(_entry(name, "test", status="completed", start=start, encounter_id=visit))
        for _ in range(int(draw.poisson(illnesses))):
            begin = float(draw.uniform(200, 5000)) + 365 * onset
            over = draw.random() < ends
            key = f"{name}-c{len(rows['conditions'])}"
            length = float(draw.exponential(lasts)) + 1
            entry = {"condition_id": key, "verification_status": "confirmed", "onset": at(begin), "recorded": at(begin)}
            entry["abatement"] = at(begin + length) if over else None
            rows["conditions"].append(_entry(name, str(draw.choice(["infection", "sprain"])), **entry))
            named = key if draw.random() < reason else None
            when = begin - 40 if draw.random() < early else begin + 0.1
            rows["medications"].append(_entry(name, "drug", status="active", authored=at(when), reason_id=named))
    return rows


def _entry(patient: str, code: str, **more: Any) -> dict[str, Any]:
    return {"patient_id": patient, "code": code, "display": code.capitalize(), **more}


def joined(*parts: Rows) -> Rows:
    """Several rows as one."""
    return {table.name: [row for part in parts for row in part.get(table.name, [])] for table in TABLES}


def of(rows: Rows, patients: set[str], prefix: str = "") -> Rows:
    """What belongs to some patients, who are called ``prefix`` and their name, and so are their entries."""
    keys = {"patient_id", "encounter_id", "condition_id", "reason_id"}
    return {
        name: [
            {key: f"{prefix}{value}" if key in keys and value else value for key, value in row.items()}
            for row in some
            if row["patient_id"] in patients
        ]
        for name, some in rows.items()
    }


def moved(rows: Rows, days: float, seed: int = 0) -> Rows:
    """The same histories, with every time moved by up to so many days, and one procedure in ten left out."""
    draw, times = (
        np.random.default_rng(seed),
        ("start", "end", "onset", "abatement", "recorded", "authored", "effective"),
    )
    found: Rows = {}
    for name, some in rows.items():
        kept = some if name != "procedures" else [row for row in some if draw.random() > 0.1]
        found[name] = [
            row | {key: _later(row[key], draw.uniform(0, days)) for key in times if row.get(key)} for row in kept
        ]
    return found


def _later(text: str, days: float) -> str:
    return (datetime.fromisoformat(text) + timedelta(days=float(days))).isoformat()
