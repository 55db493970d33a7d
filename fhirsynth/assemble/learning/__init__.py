"""Learn a timeline from tables: from the training patients, and from nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fhirsynth.assemble.learning.conditions import learn_conditions
from fhirsynth.assemble.learning.items import learn_items
from fhirsynth.assemble.learning.orders import learn_orders
from fhirsynth.assemble.learning.source import Source
from fhirsynth.assemble.learning.values import learn_measures
from fhirsynth.assemble.learning.visits import learn_kinds
from fhirsynth.assemble.timeline import Timeline
from fhirsynth.schema import FeatureSchema

__all__ = ["learn"]


def learn(tables: Path, patients: Sequence[str], schema: FeatureSchema) -> Timeline:
    """Learn from the rows of ``patients`` in the folder ``tables``.

    With a condition in ``schema`` the patients who have it are what is learned from, if there are at least
    :data:`~fhirsynth.assemble.learning.source.ENOUGH` of them; medications that few of them have come from all of
    ``patients``.

    Raises
    ------
    UsageError
        When a table is missing, or none of the patients is in it.
    """
    source = Source.read(tables, patients, schema)
    sorts = learn_conditions(source)
    visits = learn_kinds(source, sorts)
    done = learn_items(source, sorts, visits)
    measures, related = learn_measures(source)
    return Timeline(
        patients=source.learned,
        kinds=done.kinds,
        items=done.items,
        batches=done.batches,
        follows=visits.follows,
        flagged=sorts.flagged(source, visits),
        lasting=sorts.lasting(source, visits),
        measures=measures,
        related=related,
        orders=learn_orders(source, sorts, visits, done.turns),
        hispanic=source.hispanic,
    )
