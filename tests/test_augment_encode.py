"""What a generator sees is complete and simple, and decodes to what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.augment.encode import Encoding, out_of_bounds
from fhirsynth.schema import Feature
from tests.frames import example_features, example_schema

SCHEMA = example_schema()


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Everything that the schema permits for one feature, both bounds included."""
    found: st.SearchStrategy[Any]
    if feature.kind == "flag":
        found = st.booleans()
    elif feature.kind == "category":
        found = st.sampled_from(feature.categories)
    else:
        scale = 10**feature.decimals
        low, high = round((feature.minimum or 0) * scale), round((feature.maximum or 1000) * scale)
        found = st.integers(low, high).map(lambda n: round(n / scale, feature.decimals))
    return st.none() | found if feature.nullable else found


FRAMES = st.lists(st.fixed_dictionaries({f.name: values_of(f) for f in SCHEMA.features}), min_size=1, max_size=12).map(
    lambda rows: SCHEMA.conform(pd.DataFrame(rows))
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(FRAMES)
def test_decode_gives_back_what_was_encoded(frame: pd.DataFrame) -> None:
    encoding = Encoding.learn(frame, SCHEMA)
    encoded = encoding.encode(frame, np.random.default_rng(0))
    assert not encoded.isna().any().any()
    assert list(encoded.columns) == encoding.columns
    pd.testing.assert_frame_equal(encoding.decode(encoded), frame)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(FRAMES)
def test_an_encoding_survives_json(frame: pd.DataFrame) -> None:
    encoding = Encoding.learn(frame, SCHEMA)
    read = Encoding.model_validate_json(encoding.model_dump_json())
    encoded = encoding.encode(frame, np.random.default_rng(0))
    pd.testing.assert_frame_equal(read.decode(encoded), encoding.decode(encoded))


def test_the_condition_comes_first_and_no_stay_indicator_is_learned() -> None:
    encoding = Encoding.learn(example_features(), SCHEMA)
    assert encoding.columns[0] == "has_cystic_fibrosis"
    assert encoding.follows == {"length_of_stay": "prior_admissions_12m"}
    # the four laboratory values are missing together, so one indicator says so for all of them
    assert set(encoding.missing.values()) == {"missing:spo2", "missing:hba1c"}


def test_stays_of_a_foreign_table_get_an_indicator() -> None:
    frame = example_features()
    frame.loc[frame.index[frame["length_of_stay"].notna()][0], "length_of_stay"] = None
    encoding = Encoding.learn(frame, SCHEMA)
    assert encoding.follows == {}
    assert encoding.missing["length_of_stay"] == "missing:length_of_stay"


def test_filling_keeps_to_values_that_were_seen() -> None:
    frame = example_features()
    encoded = Encoding.learn(frame, SCHEMA).encode(frame, np.random.default_rng(0))
    assert set(encoded["spo2"]) <= set(frame["spo2"].dropna())
    assert encoded["spo2"].std() > 0.8 * frame["spo2"].std()


def test_a_count_below_zero_is_zero_and_a_number_out_of_bounds_is_found() -> None:
    frame = example_features(20)
    encoding = Encoding.learn(frame, SCHEMA)
    encoded = encoding.encode(frame, np.random.default_rng(0))
    encoded["num_medications"] = -2.4
    encoded.loc[4, "age"] = 121.0
    encoded.loc[5, "systolic_bp"] = 39.0
    decoded = encoding.decode(encoded)
    assert decoded["num_medications"].tolist() == [0] * 20
    bad, counts = out_of_bounds(decoded, SCHEMA)
    assert list(bad[bad].index) == [4, 5]
    assert counts == {"bounds:age": 1, "bounds:systolic_bp": 1}


def test_an_unknown_category_is_out_of_bounds() -> None:
    frame = example_features(5)
    frame.loc[2, "race"] = "martian"
    assert out_of_bounds(frame, SCHEMA)[1] == {"bounds:race": 1}
