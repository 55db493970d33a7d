"""Long work changes when garbage is collected, and nothing of that stays."""

from __future__ import annotations

import gc

import pytest

from fhirsynth.garbage import SELDOM, settled


def test_it_is_looked_for_seldom_and_afterwards_as_before() -> None:
    usual = gc.get_threshold()
    with pytest.raises(LookupError), settled():
        assert gc.get_threshold() == SELDOM
        assert gc.get_freeze_count() > 0
        raise LookupError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, 0)
