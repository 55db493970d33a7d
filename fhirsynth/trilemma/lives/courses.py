"""How histories go: visits by class and month, ages at onset, what ends and when, and reasons of medications."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.aspects import DIFFERENCE, VARIATION, Aspect, D, Form
from fhirsynth.trilemma.lives.codes import commonest, distribution, has_code, kept_rows
from fhirsynth.trilemma.lives.groups import MADE, REAL, Coded, Groups, word
from fhirsynth.trilemma.lives.histories import earliest, latest
from fhirsynth.trilemma.lives.properties import View
from fhirsynth.trilemma.lives.reading import YEAR
from fhirsynth.trilemma.samples import MIN_ROWS

CLASSES: Final = 8
"""Classes of encounters that are compared, the commonest ones."""

COUNTS: Final = np.array([0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 400, 1000])
"""Lower ends of bins of encounters."""

AGES: Final = np.arange(0, 111)
"""Lower ends of bins of ages, in years."""

DAYS: Final = np.array([0, 1, 3, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365, 545, 730, 1095, 1825, 3650, 7300])
"""Lower ends of bins of durations, in days."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def cumulative(items: int, bins: int) -> Form:
    """A form: sums of ``items`` × ``bins`` columns as cumulative shares of each item; 0 where nobody has any."""

    def form(added: Floats, _people: Floats) -> Floats:
        counts = added.reshape(len(added), items, bins)
        total = counts.sum(axis=2, keepdims=True)
        running: Floats = counts.cumsum(axis=2) / np.where(total > 0, total, 1)
        return running

    return form


def _binned(patient: Ints, item: Ints, value: Floats, edges: Ints, shape: tuple[int, int]) -> csr_matrix:
    """How many values of each patient are in each bin of each item, of shape (patients, items × bins)."""
    bins = np.maximum(np.searchsorted(edges, value, side="right") - 1, 0)
    people, items = shape
    return csr_matrix((np.ones(len(value)), (patient, item * len(edges) + bins)), shape=(people, items * len(edges)))


# ---------------------------------------------------------------- encounters


def encounters_by_class(groups: Groups) -> Aspect:
    """How many encounters of each class patients have, none counting too."""
    coded = Coded.of(groups.frames("encounters"), "class_code")
    has = _first(groups, coded)
    top = commonest(groups, has, CLASSES)
    top = top[[_enough(has, one, either=True) for one in top]]
    sums = []
    for place, view in enumerate(groups.views):
        counts = np.zeros((len(view.lives), len(top)))
        frame = view.lives.encounters
        kept = view.rows(frame, "start")
        for column, one in enumerate(top):
            rows = kept & (coded.codes[place] == one)
            counts[:, column] = np.bincount(frame["patient"].to_numpy()[rows], minlength=len(view.lives))
        patient, item = np.indices(counts.shape)
        sums.append(_binned(patient.ravel(), item.ravel(), counts.ravel(), COUNTS, counts.shape))
    ambulatory = [float(_per_patient(one)) for one in has[:2]]
    return Aspect(
        name="encounters_by_class",
        title="Encounters of each class per patient",
        unit="classes per patient",
        sums=tuple(sums),
        form=cumulative(len(top), len(COUNTS)),
        statistic=D,
        name_of=lambda one: coded.levels[top[one]],
        part=np.repeat(np.arange(len(top)), len(COUNTS)),
        figures=(ambulatory[0], ambulatory[1]),
        middle=COUNTS.astype(np.float64),
        counts=(len(groups.views[REAL].lives.encounters), len(groups.views[MADE].lives.encounters)),
        note="A mean over classes that ten patients have; those named are told by their median per patient.",
    )


def _first(groups: Groups, coded: Coded) -> tuple[csr_matrix, ...]:
    found = []
    for place, view in enumerate(groups.views):
        frame = view.lives.encounters
        kept = view.rows(frame, "start") & (coded.codes[place] >= 0)
        shape = (len(view.lives), len(coded.levels))
        cells = (frame["patient"].to_numpy()[kept], coded.codes[place][kept])
        one = csr_matrix((np.ones(int(kept.sum())), cells), shape=shape)
        one.data = np.ones_like(one.data)
        found.append(one)
    return tuple(found)


def _per_patient(has: csr_matrix) -> float:
    return has.nnz / max(has.shape[0], 1)


def _enough(has: tuple[csr_matrix, ...], column: int, *, either: bool = False) -> bool:
    """Whether ten patients of both sides (or of either) have it."""
    counts = [has[place][:, [column]].nnz >= MIN_ROWS for place in (REAL, MADE)]
    return any(counts) if either else all(counts)


def seasons(groups: Groups) -> Aspect:
    """The months of encounters; each patient counts alike."""
    sums, winters = [], []
    for view in groups.views:
        frame = view.lives.encounters
        kept = view.rows(frame, "start") & frame["start"].notna().to_numpy()
        patient = frame["patient"].to_numpy()[kept]
        days = np.floor(frame["start"].to_numpy()[kept]).astype("datetime64[D]")
        month = days.astype("datetime64[M]").astype(np.int64) % 12
        each = 1 / np.bincount(patient, minlength=len(view.lives))[patient]
        sums.append(csr_matrix((each, (patient, month)), shape=(len(view.lives), 12)))
        winters.append(float(np.isin(month, [11, 0, 1]).mean()) if len(month) else np.nan)
    return Aspect(
        name="seasonality",
        title="Months of encounters",
        unit="share in December to February",
        sums=tuple(sums),
        form=distribution,
        statistic=VARIATION,
        name_of=lambda one: MONTHS[one],
        part=np.arange(12),
        figures=(winters[REAL], winters[MADE]),
        counts=(len(groups.views[REAL].lives.encounters), len(groups.views[MADE].lives.encounters)),
        note="Each patient counts alike.",
    )


# ---------------------------------------------------------------- conditions


def _common_conditions(groups: Groups) -> tuple[Coded, Ints]:
    """Codes of conditions that ten patients of both sides have."""
    coded = Coded.of(groups.frames("conditions"), "code")
    has = has_code(groups, "conditions", coded)
    counts = [np.asarray(has[place].sum(axis=0))[0] for place in (REAL, MADE)]
    return coded, np.flatnonzero((counts[0] >= MIN_ROWS) & (counts[1] >= MIN_ROWS))


def _items(groups: Groups, place: int, coded: Coded, chosen: Ints) -> Ints:
    """The place of each condition's code in ``chosen``, -1 where it is not there or is too late."""
    number = np.full(len(coded.levels) + 1, -1)
    number[chosen] = np.arange(len(chosen))
    codes = coded.codes[place]
    return np.where(kept_rows(groups.views[place], "conditions", codes), number[codes], -1)


def onset_ages(groups: Groups) -> Aspect:
    """Ages at the first onset of each condition that ten patients of both sides have."""
    coded, chosen = _common_conditions(groups)
    sums, medians = [], []
    for place, view in enumerate(groups.views):
        frame, item = view.lives.conditions, _items(groups, place, coded, chosen)
        patient = frame["patient"].to_numpy()
        age = (frame["onset"].to_numpy() - view.lives.patients["birth_date"].to_numpy()[patient]) / YEAR
        rows = np.flatnonzero((item >= 0) & np.isfinite(age))
        rows = rows[np.lexsort((age[rows], item[rows], patient[rows]))]
        first = rows[np.unique(patient[rows] * max(len(chosen), 1) + item[rows], return_index=True)[1]]
        shape = (len(view.lives), len(chosen))
        sums.append(_binned(patient[first], item[first], age[first], AGES, shape))
        medians.append(float(np.median(age[first])) if len(first) else np.nan)
    return Aspect(
        name="onset_by_condition",
        title="Age at onset, condition by condition",
        unit="years, median",
        sums=tuple(sums),
        form=cumulative(len(chosen), len(AGES)),
        statistic=D,
        name_of=lambda one: word(groups, "conditions", coded, int(chosen[one])),
        part=np.repeat(np.arange(len(chosen)), len(AGES)),
        figures=(medians[REAL], medians[MADE]),
        middle=AGES.astype(np.float64),
        note=f"First onset of each of {len(chosen)} conditions that ten patients of both sides have; a mean over them.",
    )


def abatement(groups: Groups) -> Aspect:
    """The share of each condition that has ended."""
    coded, chosen = _common_conditions(groups)
    sums, ended = [], []
    for place, view in enumerate(groups.views):
        frame, item = view.lives.conditions, _items(groups, place, coded, chosen)
        kept = item >= 0
        over = kept & frame["abatement"].notna().to_numpy() & view.rows(frame, "abatement")
        patient, shape = frame["patient"].to_numpy(), (len(view.lives), len(chosen))
        parts = [_counted(patient[rows], item[rows], shape) for rows in (over, kept)]
        sums.append(csr_matrix(np.hstack([part.toarray() for part in parts])))
        ended.append(over.sum() / kept.sum() if kept.any() else np.nan)
    many = len(chosen)

    def form(added: Floats, _people: Floats) -> Floats:
        over, every = added[:, :many], added[:, many:]
        return (over / np.where(every > 0, every, 1))[:, :, None]

    return Aspect(
        name="abatement_share",
        title="Conditions that have ended",
        unit="share of entries",
        sums=tuple(sums),
        form=form,
        statistic=DIFFERENCE,
        name_of=lambda one: word(groups, "conditions", coded, int(chosen[one])),
        part=np.concatenate([np.full(many, -1), np.arange(many)]),
        figures=(ended[REAL], ended[MADE]),
        note=f"Of each of {many} conditions that ten patients of both sides have; a mean over them.",
    )


def _counted(patient: Ints, item: Ints, shape: tuple[int, int]) -> csr_matrix:
    return csr_matrix((np.ones(len(patient)), (patient, item)), shape=shape)


def durations(groups: Groups) -> Aspect:
    """From onset to abatement, for each condition of which ten patients of both sides have one that has ended."""
    coded, chosen = _common_conditions(groups)
    lasted = [_ended(groups, place, coded, chosen) for place in range(len(groups.views))]
    counts = [np.array([len(np.unique(one[0][one[1] == item])) for item in range(len(chosen))]) for one in lasted[:2]]
    enough = np.flatnonzero((counts[0] >= MIN_ROWS) & (counts[1] >= MIN_ROWS)) if len(chosen) else chosen
    lasted = [_ended(groups, place, coded, chosen[enough]) for place in range(len(groups.views))]
    sums = tuple(_binned(*one, DAYS, (size, len(enough))) for one, size in zip(lasted, groups.sizes, strict=True))
    medians = [float(np.median(one[2])) if len(one[2]) else np.nan for one in lasted[:2]]
    return Aspect(
        name="condition_duration",
        title="How long conditions last, condition by condition",
        unit="days, median",
        sums=sums,
        form=cumulative(len(enough), len(DAYS)),
        statistic=D,
        name_of=lambda one: word(groups, "conditions", coded, int(chosen[enough[one]])),
        part=np.repeat(np.arange(len(enough)), len(DAYS)),
        figures=(medians[REAL], medians[MADE]),
        middle=DAYS.astype(np.float64),
        note=f"Of {len(enough)} conditions that have ended in ten patients of both sides; a mean over them.",
    )


def _ended(groups: Groups, place: int, coded: Coded, chosen: Ints) -> tuple[Ints, Ints, Floats]:
    """Patient, condition and days of what has ended."""
    view = groups.views[place]
    frame, item = view.lives.conditions, _items(groups, place, coded, chosen)
    days = (frame["abatement"] - frame["onset"]).to_numpy()
    kept = (item >= 0) & np.isfinite(days) & view.rows(frame, "abatement")
    return frame["patient"].to_numpy()[kept], item[kept], np.maximum(days[kept], 0)


# ---------------------------------------------------------------- medications


def reasons(groups: Groups) -> tuple[Aspect, Aspect]:
    """The share of medication orders that name a reason, and of those the share that begins after it."""
    asked = [_asked(view) for view in groups.views]
    named = _single(
        groups,
        ("reason_named", "Medication orders that name a reason", "share of orders"),
        [(one[0], one[1]) for one in asked],
        "",
    )
    first = _single(
        groups,
        ("reason_first", "Medications that begin after their reason", "share of orders that name one"),
        [(one[0][one[1]], one[2][one[1]]) for one in asked],
        "A reason that is not among the patient's conditions counts as not begun.",
    )
    return named, first


def _asked(view: View) -> tuple[Ints, Bools, Bools]:
    """Of each medication order: whose it is, whether it names a reason, and whether that had begun."""
    frame, conditions = view.lives.medications, view.lives.conditions
    kept = view.rows(frame, "authored")
    reason = frame["reason"].to_numpy()
    begun = np.append(np.nan_to_num(earliest(conditions, "onset"), nan=np.inf), np.inf)
    patient = np.append(conditions["patient"].to_numpy(), -1)
    place = np.where(reason >= 0, reason, -1)
    own = patient[place] == frame["patient"].to_numpy()
    after = own & (begun[place] <= np.nan_to_num(latest(frame, "authored"), nan=-np.inf))
    return frame["patient"].to_numpy()[kept], (reason != -1)[kept], after[kept]


def _single(groups: Groups, said: tuple[str, str, str], asked: list[tuple[Ints, Bools]], note: str) -> Aspect:
    """One share of entries."""
    sums = []
    for (patient, answer), size in zip(asked, groups.sizes, strict=True):
        counts = [np.bincount(patient[rows], minlength=size) for rows in (answer, np.ones(len(answer), dtype=np.bool_))]
        sums.append(csr_matrix(np.stack(counts, axis=1).astype(np.float64)))
    figures = [float(answer.mean()) if len(answer) else np.nan for _, answer in asked[:2]]

    def form(added: Floats, _people: Floats) -> Floats:
        return (added[:, :1] / np.where(added[:, 1:] > 0, added[:, 1:], 1))[:, :, None]

    return Aspect(
        name=said[0],
        title=said[1],
        unit=said[2],
        sums=tuple(sums),
        form=form,
        statistic=DIFFERENCE,
        name_of=None,
        part=np.array([-1, 0]),
        figures=(figures[REAL], figures[MADE]),
        counts=(len(asked[REAL][0]), len(asked[MADE][0])),
        note=note,
    )
