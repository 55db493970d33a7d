"""Defects in how text was encoded on its way."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from fhirsynth.defects.edit import Change, Path, Planter, Site, concept, look

_ACCENTS: Final = {"a": "ä", "e": "é", "o": "ö", "u": "ü", "i": "í"}
_ENTITIES: Final = {"ä": "auml", "é": "eacute", "ö": "ouml", "ü": "uuml", "í": "iacute"}
_PEOPLE: Final[tuple[Path, ...]] = (
    ("name", 0, "family"),
    ("name", 0, "given", 0),
    ("address", 0, "city"),
    ("address", 0, "line", 0),
)


def texts(site: Site) -> Iterator[tuple[Path, str]]:
    """Texts that people read: names and addresses, or text and display of the code."""
    path = concept(site.resource)
    places = (*_PEOPLE, *(((*path, "text"), (*path, "coding", 0, "display")) if path else ()))
    for place in places:
        text = look(site.resource, place)
        if isinstance(text, str) and text:
            yield place, text


def spoiled(spoil: Callable[[str, int], str]) -> Planter:
    """A planter that spoils one text.

    Parameters
    ----------
    spoil
        Makes the text from the text and the place of a letter that could have an accent.
    """

    def plant(site: Site, random: np.random.Generator) -> Change | None:
        options = [(path, text, at) for path, text in texts(site) for at in _vowels(text)]
        if not options:
            return None
        path, text, at = options[int(random.integers(len(options)))]
        return Change(path, spoil(text, at))

    return plant


def _vowels(text: str) -> list[int]:
    """Places of letters that could have an accent, behind the first."""
    return [at for at in range(1, len(text)) if text[at] in _ACCENTS]


def _with(text: str, at: int, instead: str) -> str:
    return f"{text[:at]}{instead}{text[at + 1 :]}"


mojibake = spoiled(lambda text, at: _with(text, at, _ACCENTS[text[at]].encode().decode("latin-1")))
replacement_character = spoiled(lambda text, at: _with(text, at, "\ufffd"))
escaped_entity = spoiled(lambda text, at: _with(text, at, f"&amp;{_ENTITIES[_ACCENTS[text[at]]]};"))
control_character = spoiled(lambda text, at: _with(text, at, f"{text[at]}\v"))
zero_width_character = spoiled(lambda text, at: _with(text, at, f"{text[at]}\u200b"))
decomposed_text = spoiled(lambda text, at: _with(text, at, unicodedata.normalize("NFD", _ACCENTS[text[at]])))
