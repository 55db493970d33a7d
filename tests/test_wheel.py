"""The built wheel works alone: its Java sources, locks, modules and data are inside."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_doctor_runs_from_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "synthea_bridge/java/",
        "synthea_bridge/locks/",
        "fhirsynth/features.toml",
        "fhirsynth/constraints.toml",
        "fhirsynth/trilemma/page/templates/report.html.j2",
        "fhirsynth/trilemma/documents/report.schema.json",
    ):
        assert any(name.startswith(wanted) for name in names), wanted

    environment = tmp_path / "env"
    venv.create(environment)
    python = environment / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    install = [
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "--constraint",
        str(_pins(tmp_path)),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "JAVA_HOME"))}
    env["PATH"] = str(environment / "bin")
    done = subprocess.run(
        [str(environment / "bin" / "fhirsynth"), "doctor"], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "fhirsynth[ctgan]" in done.stdout


def _pins(folder: Path) -> Path:
    """The lock's pins without their hashes: an installed wheel has none to give."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = folder / "pins.txt"
    pins.write_text("\n".join(line.rstrip("\\ ") for line in lines if line and not line.startswith((" ", "#"))) + "\n")
    return pins
