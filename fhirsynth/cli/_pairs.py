"""Settings on the command line, as KEY=VALUE."""

from __future__ import annotations

from collections.abc import Iterable


def pairs_of(option: str, given: Iterable[str]) -> dict[str, str]:
    """Settings by name.

    Raises
    ------
    UsageError
        When one is not written as KEY=VALUE.
    """
    from synthea_bridge.errors import UsageError

    pairs = [one.partition("=") for one in given]
    for name, sign, value in pairs:
        if not name or not sign:
            raise UsageError(f"{option} {name}{sign}{value}: write it as KEY=VALUE")
    return {name: value for name, _, value in pairs}
