"""One patient's history as a picture, from any tables that ``flatten`` has filled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fhirsynth.trilemma.lives.charts import chart
from fhirsynth.trilemma.lives.histories import Lives
from fhirsynth.trilemma.lives.shown import Chart


def chart_svg(tables: Path, patient_id: str) -> str:
    """Draw the history of one patient.

    Years run from left to right; there is a lane for each class of encounter, for the conditions that last longest
    (bars from onset to abatement), for the commonest medications and procedures, and two lines of measured values. It
    is blue for a patient whom the tables do not call augmented, and orange for others.

    Parameters
    ----------
    tables
        Folder with the tables, as :func:`synthea_bridge.flatten.write_tables` or ``fhirsynth flatten`` makes it.
    patient_id
        Who it is.

    Returns
    -------
    str
        An SVG file, 900 units wide, with words for who cannot see it; every text of the tables in it is escaped. It
        holds one whole history: of a real patient it is as confidential as the tables.

    Raises
    ------
    UsageError
        When a table or a column is missing.
    EvaluateError
        When the patient is not there.
    """
    from fhirsynth.trilemma.page.drawing.chart import alone

    return str(alone(read_chart(tables, patient_id)))


def read_chart(tables: Path, patient_id: str) -> Chart:
    """The values that :func:`chart_svg` draws; the same arguments and errors."""
    lives = Lives.read(tables, [patient_id])
    origin = lives.patients["origin"].iloc[0]
    who = {"augmented": "Synthetic patient", "simulated": "Simulated patient"}.get(origin, "Patient")
    return chart(lives, 0, np.inf, "synthetic" if origin == "augmented" else "real", who)
