"""The page of a report in a real headless browser: nothing runs, everybody can read it, and it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from fhirsynth.trilemma.page.render import page
from tests.browser import AUDIT, CHROMIUM, OVERFLOW, asked, chromium, dumped, framed, without_policy
from tests.reports import HOSTILE, full_report, hostile_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine"),
]


@pytest.fixture(scope="module")
def text() -> str:
    return page(full_report(warnings=("Only 31 of the holdout patients have the condition.",)), {"run_id": "46758933"})


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(hostile_report(), {"run_id": HOSTILE[1], "tables": {"skipped": {HOSTILE[2]: HOSTILE[3]}}})


INTRUDER = "<img src=\"https://tracker.invalid/a.png\"><script>document.title='ran'</script>"


def test_nothing_runs_in_a_browser(tmp_path: Path, hostile: str) -> None:
    dom = dumped(tmp_path / "page.html", hostile)
    assert "<title>Synthetic patients: utility, privacy, fidelity</title>" in dom
    assert "fhirsynth" in dom
    assert dom.count("<svg") == hostile.count("<svg")


def test_even_smuggled_markup_neither_runs_nor_calls_home(tmp_path: Path, text: str) -> None:
    smuggled = text.replace("</main>", INTRUDER + "</main>")
    log = tmp_path / "net.json"
    dom = dumped(tmp_path / "page.html", smuggled, f"--log-net-log={log}")
    assert "<title>Synthetic patients" in dom
    assert "tracker.invalid" not in log.read_text(encoding="utf-8")
    open_log = tmp_path / "open.json"
    dom = dumped(tmp_path / "open.html", without_policy(smuggled), f"--log-net-log={open_log}")
    assert "<title>ran</title>" in dom
    assert "tracker.invalid" in open_log.read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["text", "hostile"])
def test_contrast_labels_headings_and_focus(tmp_path: Path, which: str, request: pytest.FixtureRequest) -> None:
    found = asked(tmp_path / "page.html", without_policy(request.getfixturevalue(which)), AUDIT)
    assert found["problems"] == []
    assert found["texts"] > 800
    assert found["shapes"] > 200
    assert found["reached"] > 40


def test_the_audit_sees_what_is_wrong(tmp_path: Path, text: str) -> None:
    spoiled = (
        without_policy(text)
        .replace("--soft: #525c68", "--soft: #a5adb6")
        .replace("--band: #6b7683", "--band: #d0d5da")
        .replace('role="img"', "")
        .replace("<h3>", "<h5>")
        .replace('class="scroll" tabindex="0"', 'class="scroll"')
        .replace('scope="row"', "")
    )
    said = " ".join(asked(tmp_path / "page.html", spoiled, AUDIT)["problems"])
    for what in ("text contrast", "graphic contrast", "picture without words", "heading order", "scrolling", "scope"):
        assert what in said


@pytest.mark.parametrize("which", ["text", "hostile"])
def test_a_narrow_screen_scrolls_tables_and_never_the_page(
    tmp_path: Path, which: str, request: pytest.FixtureRequest
) -> None:
    frame = framed(without_policy(request.getfixturevalue(which)), 400)
    found = asked(tmp_path / "frame.html", frame, OVERFLOW)
    assert found["width"] == 400
    assert found["scrolled"] <= 400
    assert found["wide"] == []
    assert found["tables"] > 8


def lines(sheet: Any) -> list[str]:
    """Text of a PDF page from top to bottom; some fonts join letters."""
    found: dict[int, list[tuple[float, str]]] = {}

    def visit(part: str, cm: list[float], tm: list[float], _font: Any, _size: float) -> None:
        if part.strip():
            x, y = (cm[i] * tm[4] + cm[2 + i] * tm[5] + cm[4 + i] for i in (0, 1))
            found.setdefault(round(y), []).append((x, normalize("NFKC", part.strip())))

    sheet.extract_text(visitor_text=visit)
    return [" ".join(part for _, part in sorted(found[y])) for y in sorted(found, reverse=True)]


def test_it_prints_whole_with_header_and_no_orphaned_heading(tmp_path: Path, text: str) -> None:
    from pypdf import PdfReader

    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    chromium(tmp_path / "page.html", "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    sheets = PdfReader(tmp_path / "page.pdf").pages
    assert 10 <= len(sheets) <= 22
    assert [round(float(one)) for one in sheets[0].mediabox[2:]] == [595, 842]
    printed = [lines(sheet) for sheet in sheets]
    for number, sheet in enumerate(printed, 1):
        assert sheet[0].startswith("Synthetic patients: utility, privacy, fidelity")
        assert sheet[-1] == f"{number} / {len(sheets)}"
    first, every = " ".join(printed[0]), " ".join(" ".join(sheet) for sheet in printed)
    for verdict in ("UNDERPOWERED", "PASS", "FAIL"):
        assert verdict in first
    assert "Where it misleads" in every
    assert "Datasheets for Datasets" in " ".join(printed[-1])
    # These stand in closed <details>, which paper cannot open.
    assert "p (Holm)" in every
    assert every.count("beyond noise") > 5
    headings = set(re.findall(r"<h[234][^>]*>(.*?)</h[234]>", text))
    heads = (
        "Measure Cohort",
        "Column Test",
        "Column With",
        "Column Cohort",
        "Rule Kind",
        "Property Figure",
        "Help Added",
    )
    assert [sheet[-2] for sheet in printed if sheet[-2].endswith("band.")] == [], "a picture without its caption"
    assert [sheet[-2] for sheet in printed if sheet[-2] in headings or sheet[-2].startswith(heads)] == []
