"""What can go wrong from tables to report.

::

    FhirsynthError              root; the message says what, where and what to do
    ├── UsageError              the call was wrong: a parameter, a path, a name
    ├── ExtraMissing            an optional dependency is not installed
    ├── WorkspaceError          a work folder holds something else than expected
    ├── CohortError             too few patients to learn from or to judge by
    ├── AugmentError            a generator could not be fitted
    │   └── Shortfall           fewer rows than asked for; carries what was made
    ├── AssembleError           a row cannot become a valid patient
    ├── PublishError            a server or a disk refused
    │   └── AccessError         no token, or a certificate that is not trusted: no other try will change it
    └── EvaluateError           the comparison cannot be made
"""

from __future__ import annotations


class FhirsynthError(Exception):
    """Root of everything that ``fhirsynth`` raises on purpose."""


class UsageError(FhirsynthError):
    """The call was wrong: nothing has been started."""


class ExtraMissing(FhirsynthError):
    """An optional dependency is not installed.

    Parameters
    ----------
    feature
        What was asked for, in the user's words.
    extra
        The extra of this package that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra '{extra}'; install it with: pip install 'fhirsynth[{extra}]'")


class WorkspaceError(FhirsynthError):
    """A work folder holds something else than what was expected."""


class CohortError(FhirsynthError):
    """Too few patients to learn from or to judge by."""


class AugmentError(FhirsynthError):
    """A generator could not be fitted or read back."""


class Shortfall(AugmentError):
    """A generator made fewer rows than were asked for.

    Parameters
    ----------
    asked, made
        Numbers of rows.
    advice
        What to try next.
    """

    def __init__(self, asked: int, made: int, advice: str) -> None:
        super().__init__(f"asked for {asked} synthetic patients, could make {made}; {advice}")
        self.asked = asked
        self.made = made


class AssembleError(FhirsynthError):
    """A row cannot become a valid patient."""


class PublishError(FhirsynthError):
    """A server or a disk refused."""


class AccessError(PublishError):
    """A token could not be had, or the other side's certificate cannot be trusted; another try changes nothing."""


class EvaluateError(FhirsynthError):
    """The comparison cannot be made with this data."""
