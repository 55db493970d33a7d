"""The page of a report: pictures and tables say what they show, hostile text is only text, and a browser agrees."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from fhirsynth.trilemma.measure import Marginal, Pictures, Report, Roc, UpliftPoint
from fhirsynth.trilemma.page import captions, drawing, words
from fhirsynth.trilemma.page.references import SOURCES
from fhirsynth.trilemma.page.render import page
from tests.reports import HOSTILE, full_report, hostile_report

PROVENANCE: dict[str, Any] = {
    "run_id": HOSTILE[1],
    "generated": {"let_go": {f"reason {index} {HOSTILE[0]}": index for index in range(15)}},
    "tables": {"skipped": {HOSTILE[2]: HOSTILE[3]}},
}

BARE: dict[str, Any] = {
    "pictures": Pictures(cohort="overall"),
    "attributes": (),
    "rules": (),
    "timeline": (),
    "uplift": None,
    "natural": (),
    "columns": (),
    "controls": (),
    "measures": (),
}


@pytest.fixture(scope="module")
def full() -> Report:
    return full_report(warnings=("Only 31 of the holdout patients have the condition.",))


@pytest.fixture(scope="module")
def text(full: Report) -> str:
    return page(full, {"run_id": "4675893395df"})


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(hostile_report(), PROVENANCE)


class Seen(HTMLParser):
    """Tags, attributes, ids, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.names.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "data", "action", "poster"):
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def panel(**changes: Any) -> Marginal:
    fields: dict[str, Any] = {
        "name": "age",
        "title": "Age",
        "discrete": False,
        "labels": ("10", "20", "30"),
        "real": (0.5, 0.3, 0.2),
        "synthetic": (0.4, 0.3, 0.3),
        "low": (0.45, 0.2, 0.1),
        "high": (0.55, 0.4, 0.25),
        "missing_real": 0.0,
        "missing_synthetic": 0.0,
        "missing_low": 0.0,
        "missing_high": 0.0,
    }
    return Marginal(**{**fields, **changes})


# ---------------------------------------------------------------- the page as text


def test_hostile_text_is_only_text(hostile: str) -> None:
    seen = Seen(hostile)
    assert not set(seen.tags) & {"script", "img", "iframe", "object", "embed", "link", "foreignobject", "base", "form"}
    assert not any(name.startswith("on") or name in ("src", "style") for name in seen.names)
    assert all(link.startswith(("#", "https://")) for link in seen.links)
    assert {link for link in seen.links if link.startswith("https://")} == {
        one.where for rows in SOURCES.values() for one in rows if one.where.startswith("https://")
    }
    for one in HOSTILE:
        assert words.plain(one) in seen.text
    assert "{{ 7 * 7 }}" in seen.text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile)
    hostile.encode()


def test_same_report_same_bytes(full: Report, text: str) -> None:
    assert page(full.model_copy(deep=True), {"run_id": "4675893395df"}) == text


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(text: str) -> None:
    seen = Seen(text)
    assert len(seen.ids) == len(set(seen.ids))
    inner = [link[1:] for link in seen.links if link.startswith("#")]
    assert len(inner) > 8
    assert set(inner) <= set(seen.ids)


def test_policy_allows_the_own_style_and_nothing_else(text: str) -> None:
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("which", ["text", "hostile"])
def test_every_picture_is_well_formed_and_has_words(which: str, request: pytest.FixtureRequest) -> None:
    pictures = re.findall(r"<svg.*?</svg>", request.getfixturevalue(which), re.DOTALL)
    assert len(pictures) == 18 + 1 + 2 + 2 + 1 + 2 + 2 + 5 + 1 + 2
    for one in pictures:
        root = ElementTree.fromstring(one)
        assert root.get("role") == "img"
        assert re.search(r"\d", root.get("aria-label", ""))


def test_many_columns_stay_a_reasonable_page() -> None:
    wide = full_report({f"column_{index}": f"Column number {index}" for index in range(160)})
    made = page(wide, {})
    assert len(made.encode()) < 2_000_000
    assert "The first 40 of 160 columns are drawn" in made
    assert made.count("<svg") == 160 + 18


def test_what_is_absent_is_said_in_a_sentence(full: Report) -> None:
    seen = Seen(page(full.model_copy(update=BARE), {}))
    for sentence in (
        "no model could be trained and tested",
        "There are no rows to draw",
        "No attack could be run",
        "No control could be run",
        "No sensitive column was guessed",
        "was not measured in this report",
        "None of them could be measured",
    ):
        assert sentence in seen.text
    assert "svg" not in seen.tags
    assert "None" not in seen.text.replace("None of them", "")


def test_warnings_and_invalid_stand_before_the_verdicts(full: Report, text: str) -> None:
    assert text.index("Only 31 of the holdout") < text.index('class="verdicts"')
    assert "INVALID" not in text.partition('class="verdicts"')[0]
    broken = page(full.model_copy(update={"valid": False, "warnings": ()}), {})
    assert broken.index("<strong>INVALID.") < broken.index('class="verdicts"')
    assert 'class="warnings"' not in broken


def test_only_everybody_is_judged(full: Report) -> None:
    alone = {
        name: tuple(one for one in getattr(full, name) if one.cohort == "overall")
        for name in ("findings", "measures", "columns", "attributes")
    }
    made = page(full.model_copy(update={**alone, "cohort_title": "", "target": None}), {})
    assert "are cohort" not in made.partition('id="targets"')[0]


# ---------------------------------------------------------------- what pictures say


def test_marks_stand_where_a_share_is_beyond_the_band() -> None:
    beyond = panel()
    assert captions.beyond(beyond) == ["10", "30"]
    assert drawing.marginal(beyond).count('class="mark"') == 2
    within = panel(synthetic=(0.45, 0.3, 0.25))
    assert captions.beyond(within) == []
    assert 'class="mark"' not in drawing.marginal(within)
    assert "All shares are within the band" in captions.marginal_note(within)
    gone = panel(
        synthetic=(0.5, 0.3, 0.2), missing_synthetic=0.2, missing_real=0.1, missing_low=0.05, missing_high=0.15
    )
    assert captions.beyond(gone) == ["missing"]
    assert "“missing”: 10\xa0% of real, 20\xa0% of synthetic" in captions.marginal_alternative(gone)
    for shape in (True, False):
        made = drawing.marginal(gone.model_copy(update={"discrete": shape}))
        assert made.count('class="mark"') == 1
        assert ">missing</text>" in made


def test_a_flag_shows_the_share_that_has_it() -> None:
    flag = panel(
        discrete=True,
        labels=("no", "yes"),
        real=(0.97, 0.03),
        synthetic=(0.9, 0.1),
        low=(0.96, 0.02),
        high=(0.98, 0.04),
    )
    made = drawing.marginal(flag)
    assert ">yes</text>" in made
    assert ">no</text>" not in made
    assert captions.marginal_note(flag) == "Share beyond the band."


def test_a_column_without_known_values_is_drawn_as_missing() -> None:
    empty = panel(labels=(), real=(), synthetic=(), low=(), high=(), missing_real=1.0, missing_synthetic=1.0)
    for shape in (True, False):
        made = drawing.marginal(empty.model_copy(update={"discrete": shape, "missing_high": 1.0}))
        assert ">missing</text>" in made


def test_signs_stand_on_pairs_beyond_noise_and_nowhere_else(full: Report) -> None:
    found = full.pictures.association
    assert found is not None
    rows = captions.pairs(found)
    many = sum(pair.beyond for pair in rows)
    assert 0 < many < len(rows)
    assert f"{many} of {len(rows)} pairs" in captions.associations(found)
    assert rows[0].beyond
    assert rows[0].one in captions.associations(found)
    paths = re.findall(r'<path d="([^"]*)" class="sign[ "]', drawing.difference(found))
    weaker = sum(pair.beyond and pair.difference < 0 for pair in rows)
    assert sum(one.count("H") for one in paths) == 2 * many
    assert sum(one.count("V") for one in paths) == 2 * (many - weaker)


def test_an_attack_above_the_band_is_named() -> None:
    grid = (0.0, 0.1, 0.5, 1.0)
    quiet = Roc(
        name="Quiet", group="membership", fpr=grid, tpr=grid, auc=0.5, low=grid, high=(0.0, 0.2, 0.6, 1.0)
    )  # fmt: skip
    loud = quiet.model_copy(update={"name": "Loud", "tpr": (0.0, 0.7, 0.8, 1.0)})
    assert captions.membership_curves([quiet]) == "No attack rises noticeably above the band of shuffled labels."
    assert "Loud, which finds 70\xa0% of the members at 10\xa0% false alarms" in captions.membership_curves(
        [quiet, loud]
    )
    assert "0.50 is chance" in captions.membership_curves([quiet.model_copy(update={"high": (), "low": ()})])
    assert drawing.rocs([quiet, loud], "two attacks").count('class="band"') == 2


def test_the_map_says_what_lies_where_the_other_side_is_empty(full: Report) -> None:
    found = full.pictures.map
    assert found is not None
    nobody = tuple(tuple(0.0 for _ in row) for row in found.real)
    apart = found.model_copy(update={"real": nobody, "synthetic": ((0.25, *nobody[0][1:]), *nobody[1:])})
    assert captions.plane(apart).startswith("25\xa0% of the synthetic patients")
    assert captions.plane(found.model_copy(update={"synthetic": found.real})).startswith("0\xa0%")
    for side in ("real", "synthetic"):
        ElementTree.fromstring(drawing.plane(apart, side))
        ElementTree.fromstring(drawing.plane(apart.model_copy(update={"synthetic": nobody}), side))


def test_the_mixing_curve_names_its_best_point() -> None:
    points = [UpliftPoint(arm="a", ratio=r, auprc=v, low=v - 0.1, high=v + 0.1) for r, v in ((0, 0.4), (2, 0.6))]
    label = captions.arm_alternative("SMOTE", points, 0.4)
    assert label.startswith("SMOTE: highest average precision 0.600")
    assert "at ratio 2" in label
    assert drawing.span(points) == pytest.approx((0.28, 0.72))


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Age", "Age"),
        ("a\x00b\x1b", "a�b�"),
        ("one\ntwo\u2028three", "one two three"),
        ("\u202eevil", "�evil"),
        ("\ud800", "�"),
        ("שלום 病院 👩‍⚕️ é", "שלום 病院 👩‍⚕️ é"),
    ],
)
def test_plain_text_keeps_letters_and_shows_what_it_cannot(given: str, shown: str) -> None:
    assert words.plain(given) == shown


def test_long_names_are_cut_to_their_room() -> None:
    assert words.cut("short", 10) == "short"
    assert words.cut("x" * 300, 10) == "x" * 9 + "…"
    assert words.width(words.cut("病" * 300, 10)) <= 10
    assert not words.cut("abcdefg\u200dhi", 9).endswith("\u200d…")


def test_figures_are_never_a_bare_zero_or_a_long_fraction() -> None:
    assert [words.share(one) for one in (None, 0.0, 0.0004, 0.031, 0.5)] == [
        "–",
        "0\xa0%",
        "<\xa00.1\xa0%",
        "3.1\xa0%",
        "50\xa0%",
    ]
    assert words.probability(0.00001) == "<\xa00.0001"
    assert words.amount(12345.6) == "12,346"
    assert words.amount(-0.1234) == "−0.123"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
