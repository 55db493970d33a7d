"""How much noise a budget needs, that it is that noise, and that its key stays secret."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chisquare, norm

from fhirsynth.augment.noise import (
    VARIABLE,
    Mechanism,
    Stream,
    discrete_delta,
    gaussian_delta,
    gaussian_sigma,
    noise_key,
)
from fhirsynth.augment.private import Private
from fhirsynth.errors import UsageError

KEY = bytes(range(32))


# ---------------------------------------------------------------- how much noise


@pytest.mark.parametrize(
    ("epsilon", "sigma", "sensitivity"), [(1, 1, 1), (0.5, 4, 2), (3, 2.5, 4), (8, 0.6, 1), (0.1, 30, 1)]
)
def test_delta_is_that_of_the_definition(epsilon: float, sigma: float, sensitivity: float) -> None:
    def excess(x: float) -> float:
        return float(max(norm.pdf(x, sensitivity, sigma) - np.exp(epsilon) * norm.pdf(x, 0, sigma), 0.0))

    middle = sensitivity / 2 + epsilon * sigma**2 / sensitivity
    wanted, _ = quad(excess, middle, middle + 40 * sigma, epsabs=1e-14, epsrel=1e-11, limit=500)
    assert gaussian_delta(epsilon, sigma, sensitivity) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("epsilon", [0.001, 0.1, 1, 8, 100])
@pytest.mark.parametrize("delta", [1e-12, 1e-6, 1e-2])
def test_sigma_is_the_least_that_keeps_delta(epsilon: float, delta: float) -> None:
    sigma = gaussian_sigma(epsilon, delta)
    assert gaussian_delta(epsilon, sigma) <= delta
    assert gaussian_delta(epsilon, sigma) == pytest.approx(delta, rel=1e-6)
    assert gaussian_delta(epsilon, sigma * 0.999) > delta
    assert gaussian_sigma(epsilon, delta, 7.0) == pytest.approx(7 * sigma, rel=1e-12)


def test_sigma_has_known_values() -> None:
    assert gaussian_sigma(1, 1e-5) == pytest.approx(3.7306, abs=1e-4)
    assert gaussian_sigma(1, 1e-5) < np.sqrt(2 * np.log(1.25 / 1e-5))


@pytest.mark.parametrize(("epsilon", "variance", "ones"), [(1, 4, 1), (0.5, 9.5, 3), (2, 4, 5), (4, 6, 12)])
def test_delta_of_integer_noise_is_that_of_the_definition(epsilon: float, variance: float, ones: int) -> None:
    reach = 60
    values = np.arange(-reach, reach + 1)
    one = np.exp(-(values**2) / (2 * variance))
    sums = reduce(np.convolve, [one / one.sum()] * ones)
    at = np.arange(-reach * ones, reach * ones + 1)
    losses = (2 * at + ones) / (2 * variance)
    wanted = float(np.sum(sums * np.maximum(-np.expm1(epsilon - losses), 0.0)))
    assert discrete_delta(epsilon, variance, ones) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("epsilon", [0.05, 1, 8, 50])
@pytest.mark.parametrize("ones", [1, 18])
def test_a_mechanism_keeps_its_budget_and_wastes_little(epsilon: float, ones: int) -> None:
    mechanism = Mechanism.calibrated(epsilon, 1e-6, ones)
    assert discrete_delta(epsilon, float(mechanism.variance), ones) <= 1e-6
    assert mechanism.sensitivity == pytest.approx(np.sqrt(ones))
    assert mechanism.sigma <= max(1.01 * gaussian_sigma(epsilon, 1e-6, np.sqrt(ones)), 2.01)


@pytest.mark.parametrize("epsilon", [0, -1, float("inf"), float("nan"), 1e9])
def test_an_epsilon_that_is_none(epsilon: float) -> None:
    with pytest.raises(UsageError, match=r"epsilon is .*; give a number between 0\.001 and 1000") as told:
        Private(epsilon=epsilon)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("delta", [0, -1e-6, 1, 2, float("nan")])
def test_a_delta_that_is_none(delta: float) -> None:
    with pytest.raises(UsageError, match=r"delta is .*; give a number between 1e-15 and 1"):
        Private(delta=delta)


# ---------------------------------------------------------------- that noise


@pytest.mark.parametrize("variance", [Fraction(4), Fraction(25, 2)])
def test_noise_has_the_discrete_gaussian_distribution(variance: Fraction) -> None:
    drawn = Mechanism(1, 1e-6, 1, variance).release(np.zeros(20_000, dtype=np.int64), KEY)
    edge = int(3 * float(variance) ** 0.5)
    weights = np.exp(-(np.arange(-200, 201) ** 2) / (2 * float(variance)))
    chances = weights / weights.sum()
    middle = slice(200 - edge, 201 + edge)
    wanted = np.concatenate([[chances[: middle.start].sum()], chances[middle], [chances[middle.stop :].sum()]])
    seen = np.bincount(np.clip(drawn, -edge - 1, edge + 1) + edge + 1, minlength=len(wanted))
    assert chisquare(seen, wanted * len(drawn)).pvalue > 0.001


def test_a_stream_is_uniform_and_its_key_decides() -> None:
    stream = Stream(KEY)
    drawn = [stream.below(7) for _ in range(7000)]
    assert chisquare(np.bincount(drawn, minlength=7)).pvalue > 0.001
    again, other = Stream(KEY), Stream(KEY[::-1])
    assert [again.below(7) for _ in range(7000)] == drawn
    assert [other.below(7) for _ in range(7000)] != drawn
    assert stream.below(1) == 0


def test_a_key_used_twice_does_not_give_the_difference_of_two_tables_away() -> None:
    mechanism = Mechanism.calibrated(1, 1e-6, 4)
    counts = np.arange(50)
    other = counts + (np.arange(50) == 7)
    noise = mechanism.release(counts, KEY) - counts
    assert np.array_equal(mechanism.release(counts, KEY) - counts, noise)
    assert np.count_nonzero(mechanism.release(other, KEY) - other != noise) > 40
    assert np.count_nonzero(mechanism.release(counts, KEY[1:]) - counts != noise) > 40


def test_the_key_comes_from_the_argument_the_environment_or_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    first, origin = noise_key()
    assert (len(first), origin) == (32, "operating system")
    assert noise_key()[0] != first
    monkeypatch.setenv(VARIABLE, "ab" * 16)
    assert noise_key() == (b"\xab" * 16, "given")
    assert noise_key(KEY) == (KEY, "given")


@pytest.mark.parametrize("value", ["not hexadecimal: 4711", "0123456789abcde", "4711"])
def test_a_bad_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UsageError) as told:
        noise_key()
    assert value not in str(told.value)
    assert "4711" not in str(told.value)
    assert "\n" not in str(told.value)
