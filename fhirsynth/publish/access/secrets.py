"""Secrets: read from the environment or a file, and taken out of every text that is shown."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from fhirsynth.errors import UsageError

MASK: Final = "•••"
WITHHELD: Final = "(not shown, as it repeats a secret)"
SHORT: Final = 6
"""Secrets below this length may be part of any word: a text that holds one is not shown at all."""
RECENT: Final = 16
"""Tokens and assertions come and go in a long load; so many of the last ones are looked for."""
LARGEST: Final = 1 << 16
"""Bytes of a file that may hold a secret; anything longer is another file."""


class Secrets:
    """What must not be shown, in all forms in which a server may repeat it."""

    def __init__(self) -> None:
        self._lasting: list[str] = []
        self._recent: deque[str] = deque(maxlen=RECENT)

    def __repr__(self) -> str:
        return f"Secrets({len(self._lasting) + len(self._recent)})"

    def keep(self, secret: str, *, lasting: bool = True) -> str:
        """Remember ``secret``, and return it; one that does not last is forgotten after some others."""
        known: list[str] | deque[str] = self._lasting if lasting else self._recent
        if secret.strip() and secret not in known:
            known.append(secret)
        return secret

    def mask(self, text: str) -> str:
        """``text`` without secrets; all of it is withheld where a short one may be any part of a word."""
        forms = {form for secret in (*self._lasting, *self._recent) for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            pattern = re.compile(r"\s+".join(map(re.escape, form.split())), re.IGNORECASE)
            if len(form) >= SHORT:
                text = pattern.sub(MASK, text)
            elif pattern.search(text):
                return WITHHELD
        return text

    def clean(self, text: str, longest: int = 500) -> str:
        """``text`` on one line, without secrets and without what a terminal would obey, cut to ``longest``."""
        line = " ".join(self.mask(text).split())
        return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)[:longest]


@lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[str]:
    """How a server may repeat a secret."""
    return frozenset(form for form in _written(secret) if form.strip())


def _written(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield from (quote(data, safe=""), quote(data), quote_plus(data))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        form = encode(data).decode().rstrip("=")
        if len(form) >= SHORT:
            yield form


def secret_of(environment: Mapping[str, str], name: str, file: Path | None, flag: str) -> str | None:
    """A secret from the variable ``name``, or from ``file``, which ``flag`` has named; None when there is none.

    Raises
    ------
    UsageError
        When both are given, or the file holds none.
    """
    found = environment.get(name, "").strip("\r\n") or None
    if file is None:
        return found
    if found is not None:
        raise UsageError(f"{name} and {flag} are both given; leave one of them out")
    return secret_in(file)


def secret_in(file: Path) -> str:
    """What a file holds, without the ends of lines around it.

    Raises
    ------
    UsageError
        When it cannot be read, is empty, or is no text.
    """
    try:
        secret = read_small(file).decode("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is no text in UTF-8; give a file that holds nothing but the secret") from None
    if not secret.strip():
        raise UsageError(f"{file}: is empty; write the secret into it")
    return secret


def read_small(file: Path) -> bytes:
    """The bytes of a file of secrets or certificates' keys.

    Raises
    ------
    UsageError
        When it cannot be read, or is too long to be one.
    """
    try:
        with file.open("rb") as handle:
            data = handle.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); see whether the name is right") from None
    if len(data) > LARGEST:
        raise UsageError(f"{file}: is longer than any secret (64 KiB); see whether it is the right file")
    return data


def exposed(file: Path) -> str | None:
    """A warning when others on this machine can read a file with a secret."""
    if os.name != "posix":
        return None
    mode = file.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"{file}: others can read it; make it yours alone with: chmod 600 {file}"
    return None
