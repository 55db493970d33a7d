"""What servers say: JSON that may be none, and words that may come from anybody."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import httpx
import orjson

LONGEST: Final = 500
"""Characters of a server's words that are shown."""


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        value = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def words(answer: httpx.Response) -> str:
    """What an OperationOutcome says, else the first line of the answer."""
    said = outcome_words(body_of(answer))
    return clean(said or next(iter(answer.text.strip().splitlines()), "") or answer.reason_phrase)


def outcome_words(outcome: Any) -> str:
    """The issues of an OperationOutcome as one line; empty when there are none."""
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    found = []
    for issue in issues if isinstance(issues, list) else []:
        if not isinstance(issue, dict):
            continue
        details = issue.get("details")
        text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else "")
        places = issue.get("expression") or issue.get("location") or []
        where = f"at {', '.join(map(str, places))}" if isinstance(places, list) and places else ""
        found.append(" ".join(str(part) for part in (text or issue.get("code"), where) if part))
    return clean("; ".join(one for one in found if one))


def clean(text: str) -> str:
    """One line without control characters, of bounded length."""
    kept = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in text)
    return " ".join(kept.split())[:LONGEST]
