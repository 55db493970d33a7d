"""A Bundle that is too large to be parsed at once: its entries one after the other, in bounded memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

WINDOW: Final = 1 << 20
"""Bytes that are read at a time."""
LARGEST_VALUE: Final = 64 << 20
"""Characters of one value; a resource of this size is no resource."""
_NEAR_END: Final = 64
"""A syntax error that is further from what has been read so far is not for want of more."""
_SPACE: Final = " \t\n\r"
_DECODER: Final = json.JSONDecoder()


class NotAnObject(ValueError):
    """The text is no JSON object, or it ends too early."""


class Scanner:
    """Walks through one JSON object without holding all of it.

    Parameters
    ----------
    read
        Gives so many bytes of it, and none at its end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False

    def entries(self) -> Iterator[Any]:
        """The elements of ``entry``; everything else at the top is kept in :attr:`top` as it is met.

        Raises
        ------
        NotAnObject
            When it is no JSON object, or is cut short.
        """
        self.top: dict[str, Any] = {}
        self._expect("{")
        while self._peek() != "}":
            key = self._value()
            self._expect(":")
            if key == "entry" and self._peek() == "[":
                yield from self._elements()
            else:
                self.top[key] = self._value()
            if self._peek() == ",":
                self._at += 1
        self._at += 1
        if self._peek(end_is_fine=True):
            raise NotAnObject("has more behind its end")

    def _elements(self) -> Iterator[Any]:
        self._expect("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _more(self, size: int) -> bool:
        """Read on, letting go of what is behind; false at the end."""
        if self._ended:
            return False
        data = self._read(size)
        self._ended = not data
        try:
            self._text = self._text[self._at :] + self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise NotAnObject("is not UTF-8") from error
        self._at = 0
        return not self._ended

    def _peek(self, *, end_is_fine: bool = False) -> str:
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(WINDOW):
                if end_is_fine:
                    return ""
                raise NotAnObject("is JSON that is cut short")

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise NotAnObject(f"is no JSON ('{sign}' was expected)")
        self._at += 1

    def _value(self) -> Any:
        self._peek()
        size = WINDOW
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._give_up(error)
            else:
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._more(size)
            size *= 2

    def _give_up(self, error: json.JSONDecodeError) -> None:
        """Raise, unless reading on may complete the value."""
        if self._ended:
            raise NotAnObject("is JSON that is cut short") from error
        open_end = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END
        if not open_end:
            raise NotAnObject(f"is no JSON ({error.msg[:1].lower()}{error.msg[1:]})") from error
        if len(self._text) - self._at > LARGEST_VALUE:
            raise NotAnObject(f"has a value of more than {LARGEST_VALUE >> 20} MB") from error


def chain_reads(head: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Reads ``head`` first, and then on."""
    rest = memoryview(head)

    def taken(size: int) -> bytes:
        nonlocal rest
        if not rest:
            return read(size)
        part, rest = bytes(rest[:size]), rest[size:]
        return part

    return taken


def batched(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of at most ``size`` items."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
