"""Work beside: the same result wherever it is done."""

import operator
import os

import pytest

from fhirsynth.beside import beside


@pytest.mark.parametrize("workers", [1, 2])
def test_work_is_done_once_and_its_errors_arrive(workers: int) -> None:
    with beside(workers, operator.add, 1, 2) as made, beside(workers, int, "no number") as failed:
        assert made() == made() == 3
        with pytest.raises(ValueError, match="no number"):
            failed()


def test_alone_it_is_done_here_when_it_is_asked_for() -> None:
    done: list[int] = []
    with beside(1, done.append, 1) as made:
        assert done == []
        made()
        made()
    assert done == [1]


def test_what_another_process_could_not_do_is_done_here() -> None:
    with beside(2, _here_alone, os.getpid()) as made:
        assert made() == os.getpid()


def _here_alone(own: int) -> int:
    """Ends any other process than that of the test."""
    if os.getpid() != own:
        os._exit(1)
    return own
