"""Which codes histories hold: how many patients have each, what is measured together, and what follows what."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import csr_matrix, hstack

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.aspects import DIFFERENCE, VARIATION, Aspect
from fhirsynth.trilemma.lives.groups import MADE, REAL, TIMES, Coded, Groups, Sequences, showable, word
from fhirsynth.trilemma.lives.properties import View
from fhirsynth.trilemma.lives.shown import CODED, CodedTable, CodeShare, CodeShares
from fhirsynth.trilemma.pictures import band

TOP: Final = 100
"""Codes of each table that are compared: the commonest ones of real and synthetic patients together."""

PANEL: Final = 40
"""Codes of which it is asked what is measured together."""

GRAMS: Final = 500
"""Sequences that are told apart, the commonest ones; all others are one."""

GRID: Final = 101
"""Real shares at which the band of the picture is drawn."""

_NOUNS: Final = {
    "conditions": "Conditions",
    "observations": "Observation codes",
    "medications": "Medications",
    "procedures": "Procedures",
}
_TIME: Final = {**TIMES, "observations": "effective"}


def shares(sums: Floats, people: Floats) -> Floats:
    """Sums over patients as shares of them, of shape (draws, items, 1)."""
    return (sums / people)[:, :, None]


def distribution(sums: Floats, _people: Floats) -> Floats:
    """Sums as one distribution over all columns, of shape (draws, 1, bins); of nobody it is 0 everywhere."""
    total = sums.sum(axis=1, keepdims=True)
    return (sums / np.where(total > 0, total, 1))[:, None, :]


def kept_rows(view: View, table: str, codes: Ints) -> Bools:
    """Which rows of a table have a code and are not later than the end."""
    frame = getattr(view.lives, table)
    kept: Bools = view.rows(frame, _TIME[table]) & (codes >= 0)
    return kept


def has_code(groups: Groups, table: str, coded: Coded) -> tuple[csr_matrix, ...]:
    """For each group who has which code: 0 and 1 of shape (patients, codes)."""
    found = []
    for place, view in enumerate(groups.views):
        codes = coded.codes[place]
        kept = kept_rows(view, table, codes)
        pairs = np.unique(getattr(view.lives, table)["patient"].to_numpy()[kept] * len(coded.levels) + codes[kept])
        patient, code = np.divmod(pairs, max(len(coded.levels), 1))
        found.append(csr_matrix((np.ones(len(pairs)), (patient, code)), shape=(len(view.lives), len(coded.levels))))
    return tuple(found)


def commonest(groups: Groups, has: tuple[csr_matrix, ...], most: int) -> Ints:
    """The columns that most patients have, real and synthetic ones counting alike; at most ``most`` of them."""
    real = sum(np.asarray(has[place].sum(axis=0))[0] for place in groups.pool)
    total = np.asarray(real) / max(sum(groups.sizes[place] for place in groups.pool), 1)
    total = total + np.asarray(has[MADE].sum(axis=0))[0] / max(groups.sizes[MADE], 1)
    order = np.argsort(-total, kind="stable")[:most]
    found: Ints = order[total[order] > 0]
    return found


# ---------------------------------------------------------------- how many have it


def code_frequency(groups: Groups, table: CodedTable) -> Aspect:
    """Shares of patients with each of the commonest codes of a table."""
    coded = Coded.of(groups.frames(table), "code")
    has = has_code(groups, table, coded)
    top = commonest(groups, has, TOP)
    sums = tuple(one[:, top] for one in has)
    per_patient = [float(one.sum()) / max(one.shape[0], 1) for one in has[:2]]
    return Aspect(
        name=f"code_frequency_{table}",
        title=f"{_NOUNS[table]}: how many patients have each",
        unit="codes per patient",
        sums=sums,
        form=shares,
        statistic=DIFFERENCE,
        name_of=lambda one: word(groups, table, coded, int(top[one])),
        part=np.arange(len(top)),
        figures=(per_patient[0], per_patient[1]),
        lopsided=True,
        note=f"The {len(top)} commonest codes; a mean over them.",
    )


def code_shares(groups: Groups) -> CodeShares | None:
    """The picture of code frequencies: shares of the holdout and of the synthetic patients, and the band.

    A code that one to four real patients have is counted and not shown. None where nobody has any code.
    """
    points, hidden = [], 0
    for table in CODED:
        coded = Coded.of(groups.frames(table), "code")
        has = has_code(groups, table, coded)
        top = commonest(groups, has, TOP)
        counts = [np.asarray(has[place].sum(axis=0))[0][top] for place in (REAL, MADE)]
        every = sum(np.asarray(has[place].sum(axis=0))[0][top] for place in groups.pool)
        rare = ~showable(counts[0], np.asarray(every))
        hidden += int(rare.sum())
        real, made = (count / size for count, size in zip(counts, groups.sizes[:2], strict=True))
        low, high = _ends(real, groups)
        points += [
            CodeShare(
                table=table,
                title=word(groups, table, coded, int(top[one])),
                real=round(float(real[one]), 4),
                synthetic=round(float(made[one]), 4),
                beyond=not low[one] - 5e-5 <= made[one] <= high[one] + 5e-5,
            )
            for one in np.flatnonzero(~rare)
        ]
    at = np.linspace(0, 1, GRID)
    low, high = _ends(at, groups)
    if not points:
        return None
    rounded = (tuple(np.round(one, 4).tolist()) for one in (at, low, high))
    return CodeShares(points=tuple(points), **dict(zip(("at", "low", "high"), rounded, strict=True)), hidden=hidden)


def _ends(real: Floats, groups: Groups) -> tuple[Floats, Floats]:
    low, high = band(tuple(real.tolist()), groups.sizes[MADE], groups.sizes[REAL])
    return np.array(low), np.array(high)


# ---------------------------------------------------------------- what is measured together


def panels(groups: Groups) -> Aspect:
    """Of the encounters at which one of two codes was measured, the share at which both were."""
    coded = Coded.of(groups.frames("observations"), "code")
    top = commonest(groups, has_code(groups, "observations", coded), PANEL)
    upper = np.triu_indices(len(top), 1)
    sums = tuple(_together(view, coded.codes[place], top, upper) for place, view in enumerate(groups.views))
    pairs = len(upper[0])

    def form(added: Floats, _people: Floats) -> Floats:
        both, either = added[:, :pairs], added[:, pairs:]
        return (both / np.where(either > 0, either, 1))[:, :, None]

    def name_of(pair: int) -> str:
        one, other = (word(groups, "observations", coded, int(top[side[pair]])) for side in upper)
        return f"{one} with {other}"

    figures = [float(form(np.asarray(one.sum(axis=0)), np.ones(1)).mean()) if pairs else 0.0 for one in sums[:2]]
    return Aspect(
        name="panel_cooccurrence",
        title="What is measured together at an encounter",
        unit="share of encounters, mean over pairs",
        sums=sums,
        form=form,
        statistic=DIFFERENCE,
        name_of=name_of,
        part=np.concatenate([np.arange(pairs), np.full(pairs, -1)]),
        figures=(figures[0], figures[1]),
        lopsided=True,
        note=f"All pairs of the {len(top)} commonest codes: both at an encounter, of those with either.",
    )


def _together(view: View, codes: Ints, top: Ints, upper: tuple[Ints, ...]) -> csr_matrix:
    """Encounters of each patient with both codes of a pair, then those with either, of shape (patients, 2 × pairs)."""
    frame = view.lives.observations
    place = np.full(max(codes.max(initial=0), top.max(initial=0)) + 1, -1)
    place[top] = np.arange(len(top))
    column = np.where(codes >= 0, place[codes], -1)
    kept = kept_rows(view, "observations", column)
    # What names no encounter was measured together if it was on the same day.
    visit, day = frame["encounter"].to_numpy()[kept], np.nan_to_num(np.floor(frame["effective"].to_numpy()[kept]))
    patient = frame["patient"].to_numpy()[kept]
    group = np.where(visit >= 0, visit, -1 - (patient * 200_000 + day.astype(np.int64) + 100_000))
    keys, first, number = np.unique(group, return_index=True, return_inverse=True)
    measured = np.zeros((len(keys), len(top)), dtype=np.float32)
    measured[number, column[kept]] = 1
    whose = patient[first]
    order = np.argsort(whose, kind="stable")
    ends = np.searchsorted(whose[order], np.arange(len(view.lives) + 1))
    rows = np.zeros((len(view.lives), 2 * len(upper[0])))
    for one in np.flatnonzero(np.diff(ends)):
        at = measured[order[ends[one] : ends[one + 1]]]
        both = at.T @ at
        each = np.diag(both)
        pair = both[upper]
        rows[one] = np.concatenate([pair, each[upper[0]] + each[upper[1]] - pair])
    return csr_matrix(rows)


# ---------------------------------------------------------------- what follows what


def grams(groups: Groups, told: Sequences, length: int) -> Aspect:
    """Sequences of ``length`` coded events in order of time; each patient counts alike, however long the history.

    Parameters
    ----------
    groups, told
        Who is compared, and their events.
    length
        Events of a sequence.
    """
    runs = [_runs(events.patient, events.symbol, length, told.symbols) for events in told.events]
    every, number = np.unique(np.concatenate([run for _, run in runs]), return_inverse=True)
    numbers = np.split(number, np.cumsum([len(run) for _, run in runs])[:-1])
    counts = [
        _each(patient, number, (size, len(every)))
        for (patient, _), number, size in zip(runs, numbers, groups.sizes, strict=True)
    ]
    top = commonest(groups, tuple(counts), GRAMS)
    sums = tuple(_with_rest(one, top) for one in counts)
    distinct = [float(np.diff(one.indptr).mean()) if one.shape[0] else 0.0 for one in counts[:2]]

    def name_of(gram: int) -> str:
        if gram == len(top):
            return "all other sequences"
        symbols, left = [], int(every[top[gram]])
        for _ in range(length):
            left, symbol = divmod(left, told.symbols)
            symbols.append(told.title(symbol))
        return " → ".join(reversed(symbols))

    return Aspect(
        name=f"sequences_of_{length}",
        title=f"What follows what: sequences of {length} events",
        unit="different ones per patient",
        sums=sums,
        form=distribution,
        statistic=VARIATION,
        name_of=name_of,
        part=np.arange(len(top) + 1),
        figures=(distinct[0], distinct[1]),
        counts=(len(runs[REAL][1]), len(runs[MADE][1])),
        note="Encounters by class and type, conditions, medications and procedures in order of time; each patient "
        f"counts alike, and all but the {len(top)} commonest are one.",
    )


def _runs(patient: Ints, symbol: Ints, length: int, symbols: int) -> tuple[Ints, Ints]:
    """Whose each run of ``length`` events is, and the run as one number."""
    many = max(len(patient) - length + 1, 0)
    run = np.zeros(many, dtype=np.int64)
    for step in range(length):
        run = run * symbols + symbol[step : step + many]
    same = patient[:many] == patient[length - 1 :] if many else np.zeros(0, dtype=np.bool_)
    return patient[:many][same], run[same]


def _each(patient: Ints, number: Ints, shape: tuple[int, int]) -> csr_matrix:
    """Shares of each patient's runs, of shape (patients, runs)."""
    many = np.bincount(patient, minlength=shape[0])
    return csr_matrix((1 / many[patient], (patient, number)), shape=shape)


def _with_rest(every: csr_matrix, top: Ints) -> csr_matrix:
    """The columns ``top``, and one more for what else each patient has."""
    chosen = every[:, top]
    whole, inside = (np.asarray(one.sum(axis=1))[:, 0] for one in (every, chosen))
    return csr_matrix(hstack([chosen, csr_matrix(np.maximum(whole - inside, 0)[:, None])]))
