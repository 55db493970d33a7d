"""Is this cohort large enough to learn from? In words, before anything is fitted."""

from __future__ import annotations

from typing import Final

from fhirsynth.errors import CohortError

LEAST_ROWS: Final = 20
"""Below this there is nothing that a model could learn a shape from."""

FEWEST_CASES: Final = 10
"""Below this a generator can only repeat its cases."""

ADVISED_CASES: Final = 20
"""Below this what is learned of cases is mostly who happened to be among them."""

ROWS_PER_COLUMN: Final = 50
"""The usual rule of thumb: 1,000 records for 15 to 20 columns, of which this is the lower end."""

FEWEST_ROWS: Final = 500
"""Below this, by the same rule of thumb, rules that people have written are more reliable than what is learned."""


def refuse_few(rows: int, model: str) -> None:
    """Refuse to fit ``model`` to fewer than :data:`LEAST_ROWS` patients.

    Raises
    ------
    CohortError
        When there are fewer.
    """
    if rows < LEAST_ROWS:
        raise CohortError(f"{rows} patients to learn from; {model} needs at least {LEAST_ROWS}")


def advise(rows: int, cases: int | None, columns: int, *, prior: bool = False) -> str | None:
    """What to know of a cohort that is small, and what would be more reliable; None of one that is large enough.

    Parameters
    ----------
    rows
        Patients to learn from.
    cases
        Those of them who are cases; None where nothing makes a case.
    columns
        Columns to learn.
    prior
        Whether simulated patients are learned from before, so that they need not be advised.
    """
    reasons = []
    if cases is not None and cases < ADVISED_CASES:
        reasons.append(f"{ADVISED_CASES} cases are advised")
    if rows < FEWEST_ROWS:
        reasons.append(f"below {FEWEST_ROWS} rows written rules are more reliable than learned ones")
    elif rows < ROWS_PER_COLUMN * columns:
        reasons.append(f"a rule of thumb asks for {ROWS_PER_COLUMN} rows a column, here {ROWS_PER_COLUMN * columns:,}")
    if not reasons:
        return None
    of_them = f", {cases:,} of them cases," if cases is not None else ""
    known = f"{rows:,} rows{of_them} and {columns} columns to learn from are few ({'; '.join(reasons)})"
    return f"{known}. More reliable may be: {', '.join(_better(cases, prior=prior))}."


def _better(cases: int | None, *, prior: bool) -> list[str]:
    for_cases = ["class weights or SMOTE-NC in the model that is to find cases"] if cases is not None else []
    first = [] if prior else ["simulated patients to learn from before (--prior)"]
    return ["more data", *for_cases, *first, "patients made by rules (fhirsynth generate --condition)"]
