"""Rules, and what they speak of, from TOML: ours, and those of a user's file of the same form."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from fhirsynth.clinical.fields import RESERVED, Source
from fhirsynth.clinical.kinds import Analyte, Concept, Rule
from fhirsynth.errors import UsageError

SECTIONS: Final = ("sources", "analytes", "concepts", "rules")
EMPTY: Final[Mapping[str, str]] = {}
_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Rules by id, and the sources, analytes and concepts that they name."""

    sources: Mapping[str, str]
    analytes: Mapping[str, Analyte]
    concepts: Mapping[str, Concept]
    rules: Mapping[str, Rule]

    def only(self, ids: Iterable[str]) -> Catalogue:
        """The same with these rules alone."""
        return Catalogue(self.sources, self.analytes, self.concepts, {one: self.rules[one] for one in ids})


def load_rules(*extra: Path) -> Catalogue:
    """Our rules and those of files of the same form, which may name our analytes and concepts, and replace our rules.

    Raises
    ------
    UsageError
        When a file cannot be read, or is wrong: the file, the place and the reason in one line.
    """
    catalogue = _ours()
    for path in extra:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path}: cannot be read as TOML ({error})") from error
        catalogue = _joined(catalogue, document, str(path))
    return catalogue


@cache
def _ours() -> Catalogue:
    folder = resources.files("fhirsynth.clinical").joinpath("rules")
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    documents = {one.name: tomllib.loads(one.read_text(encoding="utf-8")) for one in files}
    catalogue = Catalogue({}, {}, {}, {})
    # What is named comes before the rules that name it, whatever the file.
    for section in SECTIONS:
        for name, document in documents.items():
            catalogue = _joined(catalogue, {section: document.get(section, {})}, name)
    return catalogue


def _joined(base: Catalogue, document: Mapping[str, Any], source: str) -> Catalogue:
    other = [name for name in document if name not in SECTIONS]
    if other:
        raise UsageError(f"{source}: has '{other[0]}'; there are only the sections {', '.join(SECTIONS)}")
    sources = {**base.sources, **_parsed(document, "sources", TypeAdapter(Source), source)}
    catalogue = Catalogue(
        sources,
        {**base.analytes, **_parsed(document, "analytes", TypeAdapter(Analyte), source)},
        {**base.concepts, **_parsed(document, "concepts", TypeAdapter(Concept), source)},
        {**base.rules, **_parsed(document, "rules", _RULE, source, sources)},
    )
    for name in document.get("rules", {}):
        _refuse_unknown(catalogue, catalogue.rules[name], f"{source}, [rules.{name}]")
    return catalogue


def _parsed(
    document: Mapping[str, Any], section: str, kind: TypeAdapter[Any], source: str, cited: Mapping[str, str] = EMPTY
) -> dict[str, Any]:
    bodies = document.get(section, {})
    if not isinstance(bodies, dict):
        raise UsageError(f"{source}, [{section}]: is not a table")
    found = {}
    for name, body in bodies.items():
        where = f"{source}, [{section}.{name}]"
        try:
            found[name] = kind.validate_python(_rule(name, body, cited) if section == "rules" else body)
        except ValidationError as error:
            raise UsageError(f"{where}: {_reason(error)}") from error
        if section == "analytes" and (name in RESERVED or not name.isidentifier()):
            raise UsageError(f"{where}: '{name}' cannot be named in a formula; choose another name, of letters and _")
    return found


def _rule(name: str, body: Any, cited: Mapping[str, str]) -> Any:
    """A rule as it is written, with its id, and its source in full."""
    if not isinstance(body, dict):
        return body
    source = body.get("source")
    return {"id": name, **body, **({"source": cited[source]} if isinstance(source, str) and source in cited else {})}


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    # The kind of a rule is part of where pydantic was, and says nothing to a reader.
    kinds = ("range", "relation", "change", "whom", "drug", "time")
    place = ".".join(str(part) for part in first["loc"] if part not in kinds)
    reason = " ".join(first["msg"].removeprefix("Value error, ").split())
    return f"{place}: {reason}" if place else reason


def _refuse_unknown(catalogue: Catalogue, rule: Rule, where: str) -> None:
    for kind, named, there in (
        ("analyte", rule.analytes, catalogue.analytes),
        ("concept", rule.concepts, catalogue.concepts),
    ):
        for name in sorted(named - there.keys()):
            raise UsageError(f"{where}: there is no {kind} '{name}'; declare it as [{kind}s.{name}]")
    drug = getattr(rule, "drug", None)
    if drug is not None and any(one.table != "medications" for one in catalogue.concepts[drug].any):
        raise UsageError(f"{where}: '{drug}' is no drug; its selectors must be of the table medications")
