"""The generators that are compared, and our CTGAN with one switch turned at a time: the one place to add more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fhirsynth.augment.protocol import Synthesizer
from fhirsynth.augment.registry import MODELS, model_class
from fhirsynth.seeds import derive

FRESH: Final = "fresh"
"""Real patients whom nothing has seen, in the place of synthetic ones: what a perfect generator would make."""


@dataclass(frozen=True)
class Variant:
    """One generator as it is tried.

    Parameters
    ----------
    name, title
        Identifier, and words for people.
    make
        A new one; it is given a seed, which only noise that comes from elsewhere needs.
    prior
        Whether it learns from the public prior before.
    added
        Whether its cases are added to the real ones (eight to one are made of them), and drawn in the picture of that.
    model
        Its name in the registry, where it has one.
    """

    name: str
    title: str
    make: Callable[[int], Synthesizer]
    prior: bool = False
    added: bool = False
    model: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether there is such a model."""
        return self.model is None or self.model in MODELS


def _registered(model: str, title: str, *, name: str = "", prior: bool = False, added: bool = False) -> Variant:
    """A generator of the registry as it is."""
    return Variant(name or model, title, lambda _seed: model_class(model)(), prior, added, model)


def _private(epsilon: int, *, prior: bool, added: bool = False) -> Variant:
    """With noise of a seed, so that the experiment repeats; whoever protects patients must not do so."""

    def make(seed: int) -> Synthesizer:
        key = b"".join(derive(seed, "noise", part).to_bytes(8, "big") for part in (0, 1))
        found: Any = model_class("private")
        made: Synthesizer = found(epsilon=float(epsilon), noise_seed=key)
        return made

    name, title = f"private-{epsilon}", f"private ε = {epsilon}"
    if prior:
        name, title = f"{name}+prior", f"{title} + prior"
    return Variant(name, title, make, prior, added, "private")


def _library(_seed: int) -> Synthesizer:
    from benchmarks.rare.library import LibraryCtgan

    return LibraryCtgan()


def _switched(**settings: Any) -> Callable[[int], Synthesizer]:
    def make(_seed: int) -> Synthesizer:
        from fhirsynth.augment.gan.model import Ctgan
        from fhirsynth.augment.gan.settings import Settings

        return Ctgan(Settings(**settings))

    return make


GENERATORS: Final = (
    _registered("ctgan", "our CTGAN", added=True),
    _registered("ctgan", "our CTGAN + prior", name="ctgan+prior", prior=True, added=True),
    Variant("ctgan-library", "CTGAN out of the box", _library),
    _registered("tvae", "TVAE"),
    _registered("gaussian-copula", "Gaussian copula", added=True),
    _registered("cart", "CART", added=True),
    _registered("smote-nc", "SMOTE-NC"),
    _private(1, prior=False),
    _private(8, prior=False),
    _private(1, prior=True, added=True),
    _private(8, prior=True),
    _registered("bootstrap", "copies of real rows"),
    _registered("marginals", "columns drawn each on its own"),
)

ABLATION: Final = (
    Variant("ctgan/standardised", "standardised instead of normal scores", _switched(normal_scores=False)),
    Variant("ctgan/no-hurdle", "no flag for the commonest value", _switched(hurdle=False)),
    Variant("ctgan/unflagged", "missing values filled", _switched(flagged=False)),
    Variant("ctgan/untold", "class not told, cases by rejection", _switched(told=False)),
    Variant("ctgan/unbalanced", "cases at their share of the rows", _switched(balanced=False)),
    Variant("ctgan/unsettled", "batches normalised by themselves", _switched(settled=False)),
    Variant("ctgan/last", "last weights instead of their average", _switched(averaged=False)),
    Variant("ctgan/stopping", "steps chosen on rows held back", _switched(stopping=True)),
)
"""Beside ``ctgan`` in :data:`GENERATORS`, which has them all as they are."""
