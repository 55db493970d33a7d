"""Whether a unit is UCUM: a table holds one text for a unit, and FHIR wants to know whether it is a code."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PREFIX: Final = "(?:da|[YZEPTGMkhdcmunpfazy])"
_METRIC: Final = (
    "m g s L l mol osm eq U kat Pa bar J W N V A Hz Bq Gy Sv cal rad Cel m[Hg] m[H2O] [iU] [IU] Ohm S t B lm lx"
)
_OTHER: Final = (
    "min h d wk mo a % [pH] [degF] [ppth] [ppm] [ppb] [in_i] [ft_i] [yd_i] [mi_i] [lb_av] [oz_av] [foz_us] [arb'U] "
    "[CFU] [HPF] [LPF] [drp] [APL'U] [GPL'U] [MPL'U] [PFU] [TCID_50] [diop] deg 10* 10^ ' ''"
)


def _any(words: str) -> str:
    return "|".join(re.escape(word) for word in words.split())


_ANNOTATION: Final = r"\{[!-z|~]*\}"
_ATOM: Final = rf"(?:{_PREFIX}?(?:{_any(_METRIC)})|{_any(_OTHER)})(?:[+-]?\d+)?(?:{_ANNOTATION})?"
_PART: Final = rf"(?:{_ATOM}|\d+(?:{_ANNOTATION})?|{_ANNOTATION})"
_UNIT: Final = re.compile(rf"/?{_PART}(?:[./]{_PART})*", re.ASCII)


@lru_cache(4096)
def is_ucum(unit: str) -> bool:
    """Whether ``unit`` is made of the atoms of UCUM that clinical data use (case-sensitive, without parentheses).

    False is the safe answer: the unit is then written as text. So kelvin and henry are not among the atoms: what reads
    as one in clinical data is ``K/uL``, thousands per microlitre, or ``pH``.
    """
    return _UNIT.fullmatch(unit) is not None
