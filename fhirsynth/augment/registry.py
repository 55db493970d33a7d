"""Generators by name, imported when they are used."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from fhirsynth.errors import ExtraMissing, UsageError

if TYPE_CHECKING:
    # The names below stand in the help of a command, which has to be there at once.
    from fhirsynth.augment.protocol import Synthesizer

DEFAULT: Final = "ctgan"
MODELS: Final = {
    "ctgan": "fhirsynth.augment.gan.model:Ctgan",
    "tvae": "fhirsynth.augment.sdv_models:Tvae",
    "gaussian-copula": "fhirsynth.augment.sdv_models:GaussianCopula",
    "cart": "fhirsynth.augment.cart:Cart",
    "private": "fhirsynth.augment.private:Private",
    "smote-nc": "fhirsynth.augment.smote:SmoteNc",
    "auto": "fhirsynth.choice.auto:Auto",
    "bootstrap": "fhirsynth.augment.baselines:Bootstrap",
    "marginals": "fhirsynth.augment.baselines:Marginals",
}
"""Name → ``module:Class``. The last two are comparators: copies of real rows, and columns drawn each on its own."""
TAKE_PRIOR: Final = (
    "ctgan",
    "auto",
    "private",
)
"""Those that can learn from simulated patients before."""
PROTECTED: Final = ("private",)
"""Those of which not even the number of training rows may be told."""
_NEEDS: Final = {
    "fhirsynth.augment.gan.model": ("ctgan", "torch"),
    "fhirsynth.augment.sdv_models": ("sdv", "ctgan", "torch"),
}


def check_available(name: str) -> None:
    """Check the name and what the model stands on, without importing it.

    Raises
    ------
    UsageError
        When there is no such model.
    ExtraMissing
        When its libraries are not installed.
    """
    if name not in MODELS:
        raise UsageError(f"there is no model '{name}'; there are: {', '.join(MODELS)}")
    module = MODELS[name].partition(":")[0]
    if not all(_installed(library) for library in _NEEDS.get(module, ())):
        raise ExtraMissing(f"the model '{name}'", "ctgan")


def check_prior(name: str) -> None:
    """Check that a model learns from a prior.

    Raises
    ------
    UsageError
        When it does not.
    """
    if name not in TAKE_PRIOR:
        raise UsageError(f"the model '{name}' learns from no prior; leave it out, or choose: {', '.join(TAKE_PRIOR)}")


def check_options(name: str, options: Iterable[str]) -> None:
    """Check that a model can be set by these arguments of its constructor.

    Raises
    ------
    UsageError
        When it cannot.
    """
    asked = list(options)
    if not asked:
        return
    found: Any = model_class(name)
    unknown = [one for one in asked if one not in signature(found).parameters]
    if unknown:
        able = [one for one in PROTECTED if set(unknown) <= set(signature(model_class(one)).parameters)]
        advice = f", or choose: {', '.join(able)}" if able else ""
        raise UsageError(f"the model '{name}' takes no {' and no '.join(unknown)}; leave it out{advice}")


def model_class(name: str) -> type[Synthesizer]:
    """The class of a model; raises what :func:`check_available` raises."""
    check_available(name)
    module, _, attribute = MODELS[name].partition(":")
    found: type[Synthesizer] = getattr(import_module(module), attribute)
    return found


def _installed(library: str) -> bool:
    if library in sys.modules:
        return sys.modules[library] is not None
    return find_spec(library) is not None
