"""What a manifest says of tables that were made in parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from synthea_bridge.flatten import FlattenResult
from synthea_bridge.tables import TABLES


def summed(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The outcome of a source that was flattened in parts."""
    made: dict[str, Any] = {}
    for name in FlattenResult.__slots__:
        values = [outcome[name] for outcome in outcomes]
        if name in ("earliest", "latest"):
            made[name] = _extreme(name, values)
        elif name == "rows":
            made[name] = {table.name: sum(rows[table.name] for rows in values) for table in TABLES}
        elif name in ("dropped_codings", "unresolved", "undated"):
            made[name] = sum(values)
        else:
            made[name] = dict(sorted(sum(map(Counter, values), Counter[str]()).items()))
    return made


def _extreme(name: str, instants: Sequence[str | None]) -> str | None:
    known = [instant for instant in instants if instant is not None]
    choose = min if name == "earliest" else max
    return choose(known, key=datetime.fromisoformat, default=None)
