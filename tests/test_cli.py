"""Every command has a help text with an example, and the README shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fhirsynth.cli import COMMANDS, cli

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"fhirsynth {name}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_shows_every_command(name: str) -> None:
    assert f"`fhirsynth {name}" in README


def test_wrong_call_exits_with_2() -> None:
    assert CliRunner().invoke(cli, ["generate", "--no-such-option"]).exit_code == 2
