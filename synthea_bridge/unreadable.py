"""What is said of bytes that hold no FHIR JSON."""

from __future__ import annotations

from typing import Final

import orjson

MAGIC: Final = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a picture or sound"),
    (b"BM", "a bitmap picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"<", "XML"),
)
"""How files begin that are often given a wrong name."""
JSON: Final[dict[type, str]] = {
    list: "list",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
"""What JSON calls what it is parsed to."""


def words_of(error: BaseException) -> str:
    """What an error says, on one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


def is_object(line: bytes) -> bool:
    """Whether it is one JSON object."""
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def kind_of(data: bytes) -> str | None:
    """What bytes are, if they begin as what is no JSON."""
    return next((name for magic, name in MAGIC if data.startswith(magic)), None)


def not_json(data: bytes, error: orjson.JSONDecodeError | None) -> tuple[str, str]:
    """What is wrong with bytes that are no JSON, and what to do."""
    kind = kind_of(data)
    if kind is not None:
        return f"is no JSON but {kind}", "remove it, or give its FHIR JSON"
    if not data.strip():
        return "is empty", "fetch or export it again"
    if error is not None and data.lstrip()[:1] in b"{[" and error.pos >= len(error.doc.rstrip()) - 1:
        return "is JSON that is cut short", "fetch or export it again"
    reason = error.msg if error is not None else "unreadable"
    return f"is no JSON ({reason.partition(':')[0]})", "remove it, or export it again as FHIR JSON"
