"""Charts of single histories: who is shown, what of theirs, and as what picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from fhirsynth.errors import EvaluateError
from fhirsynth.trilemma.lives.charts import LEAKED, entries, example_charts
from fhirsynth.trilemma.lives.histories import Histories, Lives
from fhirsynth.trilemma.page.charts import chart_svg, read_chart
from tests.told import INDEX, names, save, told


def test_patients_are_chosen_by_the_number_of_their_entries(tmp_path: Path) -> None:
    real = save(tmp_path / "real", told(70, 1))
    both = Histories(
        Lives.read(real, names(0, 70)), Lives.read(save(tmp_path / "made", told(41, 2, prefix="s"))), simulated=True
    )
    found = example_charts(both, INDEX)
    assert [one.origin for one in found.charts] == ["real", "synthetic", "synthetic"]
    counts = np.sort(entries(both.synthetic))
    for one, count in zip(found.charts[1:], (counts[20], counts[32]), strict=True):
        assert f"{count:,} entries" in one.title
    first, second = found.charts[:2]
    sex = second.title.partition(": ")[2].partition(",")[0]
    assert f": {sex}," in first.title
    assert {(one.start, one.end) for one in found.charts} == {(first.start, first.end)}


def test_a_real_patient_is_shown_only_if_all_are_simulated(tmp_path: Path) -> None:
    made = Lives.read(save(tmp_path / "made", told(20, 2, prefix="s")))
    tagged = save(tmp_path / "tagged", told(20, 1, origin="simulated"))
    assert Lives.read(tagged, names(0, 5)).simulated
    rows = told(20, 1, origin="simulated")
    # Even somebody who is not read counts.
    rows["patients"][19]["origin"] = None
    some = Lives.read(save(tmp_path / "some", rows), names(0, 10))
    assert not some.simulated
    for lives, shown in ((Lives.read(tagged), 3), (some, 2)):
        found = example_charts(Histories(lives, made), INDEX)
        assert len(found.charts) == shown
        assert ("No real patient is shown" in found.note) == (shown == 2)
    leaked = example_charts(Histories(some, made), INDEX, leaked=True)
    assert (leaked.charts, leaked.note) == ((), LEAKED)
    assert len(example_charts(Histories(Lives.read(tagged), made), INDEX, leaked=True).charts) == 3


def one_life(title: str = "Asthma", **more: Any) -> dict[str, Any]:
    own = {"patient_id": "q"}
    return {
        "patients": [own | {"birth_date": "2000-01-01", "gender": "female", **more}],
        "encounters": [
            own | {"encounter_id": "e1", "class_code": "AMB", "status": "finished", "start": "2010-07-02T12:00:00Z"},
            own | {"encounter_id": "e2", "class_code": "odd", "status": "finished", "start": "2012-01-01"},
        ],
        "conditions": [
            own | {"code": "1", "display": f"{title} (disorder)", "onset": "2010-07-02", "abatement": None},
            own | {"code": "2", "display": "Work (finding)", "onset": "2000-07-02", "abatement": "2011-07-02"},
            own | {"code": "3", "display": None, "onset": "2010-07-02", "abatement": "2010-07-03"},
        ],
        "medications": [own | {"code": f"m{one}", "display": title, "authored": "2011-01-01"} for one in range(9)],
        "procedures": [own | {"code": f"x{number}", "start": "2011-01-01"} for number in range(9)],
        "observations": [
            own | {"code": "w", "display": title, "effective": f"20{10 + number}-01-01", "value_number": float(number),
                   "value_unit": title, "status": "final"}
            for number in range(3)
        ],
    }  # fmt: skip


def test_a_chart_holds_what_was_written(tmp_path: Path) -> None:
    found = read_chart(save(tmp_path, one_life(origin="augmented")), "q")
    assert found.origin == "synthetic"
    assert found.title == "Synthetic patient: female, 12 years, 26 entries"
    assert [one.title for one in found.encounters] == ["ambulatory", "odd"]
    assert found.encounters[0].at == (2010.5,)
    assert [(one.title, one.spans) for one in found.conditions] == [
        ("Asthma", ((2010.5, None),)),
        ("3", ((2010.5, 2010.5),)),
        ("Work", ((2000.5, 2011.5),)),
    ]
    assert [(one.title, len(one.at)) for one in found.medications] == [("Asthma", 1)]
    assert [one.title for one in found.procedures] == ["x0", "x1", "x2", "x3", "x4", "x5", "3 others"]
    assert [(one.unit, one.value) for one in found.labs] == [("Asthma", (0.0, 1.0, 2.0))]
    assert (found.start, found.end) == (2000, 2012)


def test_a_chart_as_a_file_is_well_formed_and_escaped(tmp_path: Path) -> None:
    hostile = "</style></svg><script>alert('1')</script>&\x07\u202e"
    for title in ("Asthma", hostile):
        text = chart_svg(save(tmp_path / str(len(title)), one_life(title)), "q")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert (root.get("role"), root.get("width")) == ("img", "900")
        assert "conditions: " in root.get("aria-label", "")
        assert {one.tag.partition("}")[2] for one in root.iter()} <= {
            "svg",
            "style",
            "text",
            "path",
            "rect",
            "line",
            "circle",
        }
        assert "<script" not in text
    assert chart_svg(tmp_path / "6", "q") == chart_svg(tmp_path / "6", "q")
    with pytest.raises(EvaluateError, match="lacks 1 of 1 patients, 'nobody'"):
        chart_svg(tmp_path / "6", "nobody")


def test_a_patient_without_anything_has_an_empty_chart(tmp_path: Path) -> None:
    text = chart_svg(save(tmp_path, {"patients": [{"patient_id": "q"}]}), "q")
    assert "sex unknown, age unknown, 0 entries" in text
    ElementTree.fromstring(text)
