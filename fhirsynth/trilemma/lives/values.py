"""How the values of one patient vary: the share of the variance of a measured value that is within patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.aspects import DIFFERENCE, Aspect, Form
from fhirsynth.trilemma.lives.codes import kept_rows
from fhirsynth.trilemma.lives.groups import MADE, REAL, Coded, Groups, word
from fhirsynth.trilemma.lives.properties import View
from fhirsynth.trilemma.samples import MIN_ROWS

LABS: Final = 40
"""Measured values that are compared, those that most patients have at least twice."""

TAILS: Final = (0.005, 0.995)
"""Real values are cut at these quantiles before variances are taken: one typing error must not make up all of one."""


@dataclass(frozen=True, slots=True)
class _Values:
    """Patient, code, unit and value of each number, of shape (numbers,)."""

    patient: Ints
    code: Ints
    unit: Ints
    value: Floats

    def only(self, kept: Bools) -> _Values:
        return _Values(self.patient[kept], self.code[kept], self.unit[kept], self.value[kept])


def within_patients(groups: Groups) -> Aspect:
    """How much of the variance of each measured value is within patients, and how much between them.

    Within: the mean over patients of the variance of their values; between: the variance of the patients' means.
    """
    coded = Coded.of(groups.frames("observations"), "code")
    units = Coded.of(groups.frames("observations"), "value_unit")
    values = [_measured(view, coded.codes[place], units.codes[place]) for place, view in enumerate(groups.views)]
    usual = _usual_units(values, groups, len(coded.levels), len(units.levels))
    values = [one.only(usual[one.code] == one.unit) for one in values]
    repeated = [_repeated(one, (size, len(coded.levels))) for one, size in zip(values, groups.sizes, strict=True)]
    enough = np.minimum(*(np.asarray((one >= 2).sum(axis=0))[0] for one in repeated[:2]))
    labs = np.argsort(-enough, kind="stable")[:LABS]
    labs = labs[enough[labs] >= MIN_ROWS]
    number = np.full(len(coded.levels) + 1, -1)
    number[labs] = np.arange(len(labs))
    inside = [_Values(one.patient, number[one.code], one.unit, one.value) for one in values]
    inside = [one.only(one.code >= 0) for one in inside]
    cut = _cuts(inside, groups, len(labs))
    sums = tuple(_moments(one, cut, (size, len(labs))) for one, size in zip(inside, groups.sizes, strict=True))
    form = _variance_shares(len(labs))
    figures = [
        float(np.nanmean(form(np.asarray(one.sum(axis=0)), np.ones(1)))) if len(labs) else np.nan for one in sums[:2]
    ]
    return Aspect(
        name="within_patient_variation",
        title="Measured values: variation within patients",
        unit="share of variance, mean over codes",
        sums=sums,
        form=form,
        statistic=DIFFERENCE,
        name_of=lambda one: word(groups, "observations", coded, int(labs[one])),
        part=np.concatenate([np.arange(len(labs)), np.full(3 * len(labs), -1)]),
        figures=(figures[REAL], figures[MADE]),
        counts=(len(inside[REAL].value), len(inside[MADE].value)),
        note=f"Of {len(labs)} codes that ten patients of both sides have twice, in their usual unit; a mean over them.",
    )


def _measured(view: View, codes: Ints, units: Ints) -> _Values:
    frame = view.lives.observations
    value = frame["value_number"].to_numpy()
    kept = kept_rows(view, "observations", codes) & np.isfinite(value)
    return _Values(frame["patient"].to_numpy()[kept], codes[kept], units[kept], value[kept])


def _usual_units(values: list[_Values], groups: Groups, codes: int, units: int) -> Ints:
    """The unit that each code has most often among real patients, of shape (codes + 1,); -1: none."""
    counts = np.zeros((codes + 1, units + 1))
    for place in groups.pool:
        np.add.at(counts, (values[place].code, values[place].unit), 1)
    usual: Ints = counts.argmax(axis=1)
    return np.where(usual == units, -1, usual)


def _repeated(one: _Values, shape: tuple[int, int]) -> csr_matrix:
    return csr_matrix((np.ones(len(one.value)), (one.patient, one.code)), shape=shape)


def _cuts(inside: list[_Values], groups: Groups, labs: int) -> Floats:
    """Ends, centre and width of the real values of each code, of shape (4, codes)."""
    lab = np.concatenate([inside[place].code for place in groups.pool])
    value = np.concatenate([inside[place].value for place in groups.pool])
    cut = np.zeros((4, labs))
    for one in range(labs):
        mine = value[lab == one]
        low, centre, high = np.quantile(mine, [TAILS[0], 0.5, TAILS[1]])
        cut[:, one] = low, high, centre, max(float(np.clip(mine, low, high).std()), 1e-12)
    return cut


def _moments(one: _Values, cut: Floats, shape: tuple[int, int]) -> csr_matrix:
    """Of patients with two values or more: 1, the variance, the mean and its square; of shape (patients, 4 × codes)."""
    low, high, centre, width = cut[:, one.code]
    scaled = (np.clip(one.value, low, high) - centre) / width
    cell, size = one.patient * shape[1] + one.code, shape[0] * shape[1]
    n, total, square = (np.bincount(cell, weights, size).reshape(shape) for weights in (None, scaled, scaled**2))
    several = n >= 2
    mean = np.where(several, total / np.maximum(n, 1), 0)
    spread = np.where(several, np.maximum(square - n * mean**2, 0) / np.maximum(n - 1, 1), 0)
    return csr_matrix(np.hstack([several, spread, mean, mean**2]))


def _variance_shares(labs: int) -> Form:
    def form(added: Floats, _people: Floats) -> Floats:
        n, spread, mean, square = (added[:, labs * part : labs * (part + 1)] for part in range(4))
        many = np.where(n > 0, n, 1)
        between = np.maximum(square / many - (mean / many) ** 2, 0)
        total = spread / many + between
        return (spread / many / np.where(total > 0, total, 1))[:, :, None]

    return form
