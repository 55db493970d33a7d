"""The kinds of defects, and how frequent each is: data in ``kinds.toml`` and ``profiles.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.defects import codes, links, people, structure, texts, times, values
from fhirsynth.defects.edit import Planter
from fhirsynth.errors import UsageError

PLANTERS: Final[Mapping[str, Planter]] = {
    "duplicate-patient": people.duplicate_patient,
    "deceased-then-seen": people.deceased_then_seen,
    "birth-after-encounter": people.birth_after_encounter,
    "future-birth-date": people.future_birth_date,
    "placeholder-birth-date": people.placeholder_birth_date,
    "missing-birth-date": people.missing_birth_date,
    "swapped-names": people.swapped_names,
    "v2-gender": people.v2_gender,
    "identifier-of-another": people.identifier_of_another,
    "mojibake": texts.mojibake,
    "replacement-character": texts.replacement_character,
    "escaped-entity": texts.escaped_entity,
    "control-character": texts.control_character,
    "zero-width-character": texts.zero_width_character,
    "decomposed-text": texts.decomposed_text,
    "reversed-period": times.reversed_period,
    "date-without-zone": times.date_without_zone,
    "foreign-date-format": times.foreign_date_format,
    "local-code": codes.local_code,
    "wrong-system": codes.wrong_system,
    "oid-system": codes.oid_system,
    "text-only": codes.text_only,
    "mistyped-code": codes.mistyped_code,
    "padded-code": codes.padded_code,
    "display-of-another": codes.display_of_another,
    "dangling-reference": links.dangling_reference,
    "encounter-of-another": links.encounter_of_another,
    "missing-subject": links.missing_subject,
    "wrong-unit": values.wrong_unit,
    "converted-value": values.converted_value,
    "missing-unit": values.missing_unit,
    "implausible-value": values.implausible_value,
    "number-as-text": values.number_as_text,
    "duplicate-observation": links.duplicate_observation,
    "empty-string": structure.empty_string,
    "null-value": structure.null_value,
    "empty-array": structure.empty_array,
    "missing-status": structure.missing_status,
    "unknown-element": structure.unknown_element,
}
TRUNCATED: Final = "truncated-file"
"""The one kind that is planted into a file and not into a resource."""
DONATED: Final = frozenset({"identifier-of-another", "encounter-of-another"})
"""Kinds for which other patients have to be known."""
Rate = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Kind(_Frozen):
    """One kind of defect; see ``kinds.toml`` for the fields."""

    id: str
    title: str
    check: str
    where: str
    on: Annotated[tuple[str, ...], Field(strict=False)]
    rate: Rate
    by_name: bool = False


class Profile(_Frozen):
    """How frequent each kind is.

    Parameters
    ----------
    name
        What the user called it.
    times
        Multiplies the usual rate of every kind that need not be asked for by name.
    rates
        The share of places that get a defect, for kinds by id; instead of the usual one.
    at_least
        How many of each kind are planted, if there is any place for them.
    """

    name: str
    title: str = ""
    times: Annotated[float, Field(ge=0)] = 0.0
    rates: dict[str, Rate] = {}
    at_least: Annotated[int, Field(ge=0)] = 0

    def rate(self, kind: Kind) -> float:
        """The share of places that get a defect of this kind."""
        return self.rates.get(kind.id, 0.0 if kind.by_name else min(1.0, self.times * kind.rate))

    def wants(self, kind: Kind) -> bool:
        """Whether any is to be planted, if there is a place for it."""
        if kind.id in self.rates:
            return self.rates[kind.id] > 0
        every = self.times > 0 or (self.at_least > 0 and not self.rates)
        return every and not kind.by_name


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by id, in the order in which they choose their places."""
    return {name: Kind.model_validate({"id": name, **body}) for name, body in _read("kinds.toml").items()}


@cache
def profiles() -> Mapping[str, Profile]:
    """The built-in profiles by name; that of a single kind is called as the kind."""
    named = {name: Profile.model_validate({"name": name, **body}) for name, body in _read("profiles.toml").items()}
    single = {
        kind.id: Profile(name=kind.id, title=kind.title, rates={kind.id: kind.rate}, at_least=1)
        for kind in kinds().values()
    }
    return named | single


def profile(text: str) -> Profile:
    """A built-in profile by its name, or that of a TOML file.

    Raises
    ------
    UsageError
        When there is neither, or the file is no profile, with the place and the reason.
    """
    if text in profiles():
        return profiles()[text]
    path = Path(text)
    if path.suffix != ".toml":
        raise UsageError(
            f"--defects {text}: there is no such profile; give light, heavy, all, a kind (fhirsynth defects kinds), "
            "or a .toml file"
        )
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
        found = Profile.model_validate({"name": path.stem, **body})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}, {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    unknown = sorted(set(found.rates) - set(kinds()))
    if unknown:
        raise UsageError(f"{path}, rates: there is no kind '{unknown[0]}'; see: fhirsynth defects kinds")
    if not any(found.wants(kind) for kind in kinds().values()):
        raise UsageError(f"{path}: asks for no defect; set times, at_least, or rates of kinds")
    return found


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("fhirsynth.defects").joinpath(name).read_text(encoding="utf-8"))
