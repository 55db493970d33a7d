"""Differentially private release of counts: how much noise, and integer noise that nobody can compute again.

One patient more or less changes ``ones`` of the counts by 1 each, and no other. The counts are released once, together,
with independent noise of one variance: one Gaussian mechanism, and no composition to account for.

How much: the smallest σ whose exact δ at ε is not above the δ asked for (Balle & Wang 2018, Theorem 8,
https://proceedings.mlr.press/v80/balle18a.html). Which noise: the discrete Gaussian (Canonne, Kamath & Steinke 2020,
https://arxiv.org/abs/2004.00010), drawn with integers alone, so that integers are released and no low bit of a
floating-point number tells of the sum beneath it (Mironov 2012, https://doi.org/10.1145/2382196.2382264). The exact δ
of this noise is checked on top: from :data:`LEAST_SIGMA` on the sum of ``ones`` such noises is again a discrete
Gaussian, but for a factor that differs from 1 by less than 1e-12 (Kairouz, Liu & Steinke 2021,
https://proceedings.mlr.press/v139/kairouz21a.html).

Not protected: how long the drawing takes, what swap files and debuggers see of the process, and whoever holds the key.
The noise is expanded from a key of 256 bits with SHAKE-256, so that the guarantee rests on that key staying unknown, as
any guarantee does that is run on a computer.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isfinite, log, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhirsynth.errors import UsageError

Ints = NDArray[np.int64]

LEAST_SIGMA: Final = 2.0
"""Standard deviation of the noise in counts below which we never go: from here on the sum of discrete Gaussians is one,
to 12 digits and more. Only budgets of about ε > 12 would need less."""
GRAIN: Final = 1 << 10
"""The variance is a multiple of 1 / GRAIN, rounded up, so that it can be drawn with integers."""
STRICTER: Final = 1.0005
"""Factor by which the variance grows until the discrete δ is small enough too; mostly it never has to."""
VARIABLE: Final = "FHIRSYNTH_NOISE_SEED"
KEY_BYTES: Final = 16
"""A given key is at least so long (128 bits)."""
LARGEST_EPSILON: Final = 1000.0
"""Beyond this the exponential of ε means nothing any more, and neither does the guarantee."""
Origin = Literal["operating system", "given"]


def gaussian_delta(epsilon: float, sigma: float, sensitivity: float = 1.0) -> float:
    """The exact δ of Gaussian noise at ε: Φ(Δ/2σ − εσ/Δ) − e^ε Φ(−Δ/2σ − εσ/Δ).

    Parameters
    ----------
    epsilon
        Privacy loss that is granted.
    sigma
        Standard deviation of the noise on every statistic.
    sensitivity
        Δ: the largest Euclidean distance between the statistics of neighbouring tables, in units of ``sigma``.
    """
    from scipy.special import log_ndtr

    half, far = sensitivity / (2 * sigma), epsilon * sigma / sensitivity
    above, below = float(log_ndtr(half - far)), float(log_ndtr(-half - far))
    return float(np.exp(above) * -np.expm1(min(epsilon + below - above, 0.0)))


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float = 1.0) -> float:
    """The smallest σ with :func:`gaussian_delta` at most ``delta``, to 12 digits and rounded up.

    Raises
    ------
    UsageError
        When ε or δ is no budget; see :func:`check_budget`.
    """
    from scipy.optimize import brentq

    check_budget(epsilon, delta)

    def excess(log_sigma: float) -> float:
        return log(max(gaussian_delta(epsilon, float(np.exp(log_sigma))), 5e-324)) - log(delta)

    low, high = -1.0, 1.0
    while excess(low) < 0:
        low -= 1
    while excess(high) > 0:
        high += 1
    root = float(brentq(excess, low, high, xtol=1e-13, rtol=1e-13))
    return sensitivity * float(np.exp(root)) * (1 + 1e-12)


def check_budget(epsilon: float, delta: float) -> None:
    """Check that ε and δ are a budget.

    Raises
    ------
    UsageError
        When they are not, with what to give instead.
    """
    if not (isfinite(epsilon) and 1e-3 <= epsilon <= LARGEST_EPSILON):
        raise UsageError(
            f"epsilon is {epsilon:g}; give a number between 0.001 and {LARGEST_EPSILON:g} "
            "(1 is strict, 8 is lax, more hardly protects)"
        )
    if not (isfinite(delta) and 1e-15 <= delta < 1):
        raise UsageError(
            f"delta is {delta:g}; give a number between 1e-15 and 1, far below one in the number of patients (1e-6)"
        )


def discrete_delta(epsilon: float, variance: float, ones: int) -> float:
    """The exact δ at ε of discrete Gaussian noise on integers, of which neighbours differ in ``ones`` by 1 each.

    The privacy loss of one outcome is (2s + ones) / (2 · variance), where s is the sum of the noises on those that
    differ: a discrete Gaussian of variance ``ones · variance``. Needs a variance of ``LEAST_SIGMA ** 2`` or more.
    """
    total = ones * variance
    spread = sqrt(total)
    # The loss exceeds ε from this s on; what lies 12 standard deviations further is below 1e-32.
    start = ceil(epsilon * variance - ones / 2)
    steps = np.arange(start, max(start, 0) + ceil(12 * spread) + 2, dtype=np.float64)
    weights = np.exp(-(steps**2) / (2 * total))
    losses = (2 * steps + ones) / (2 * variance)
    return float(np.sum(weights * -np.expm1(np.minimum(epsilon - losses, 0.0))) / (spread * sqrt(2 * np.pi)))


@dataclass(frozen=True, slots=True)
class Mechanism:
    """Noise for counts of which one patient more or less changes ``ones`` by 1 each.

    Parameters
    ----------
    epsilon, delta
        The budget, all of it for one release.
    ones
        Counts that a patient can add to.
    variance
        Of the noise on each count.
    """

    epsilon: float
    delta: float
    ones: int
    variance: Fraction

    @classmethod
    def calibrated(cls, epsilon: float, delta: float, ones: int) -> Mechanism:
        """The least noise for a budget.

        Raises
        ------
        UsageError
            When ε or δ is no budget.
        """
        variance = max(gaussian_sigma(epsilon, delta, sqrt(ones)), LEAST_SIGMA) ** 2
        while discrete_delta(epsilon, ceil(variance * GRAIN) / GRAIN, ones) > delta:
            variance *= STRICTER
        return cls(epsilon, delta, ones, Fraction(ceil(variance * GRAIN), GRAIN))

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on each count."""
        return sqrt(self.variance)

    @property
    def sensitivity(self) -> float:
        """Largest Euclidean distance between the counts of neighbouring tables."""
        return sqrt(self.ones)

    def release(self, counts: Ints, key: bytes) -> Ints:
        """``counts`` with noise; the same only for the same counts, variance and key.

        Other counts get noise that has nothing to do with it, so that a key that is used twice does not give away in
        what two tables differ.
        """
        text = f"{counts.shape}:{counts.tolist()}:{self.variance}".encode()
        stream = Stream(hashlib.sha3_256(b"fhirsynth noise\x00" + _framed(key) + text).digest())
        noise = [_gaussian(self.variance, stream) for _ in range(counts.size)]
        noisy: Ints = counts + np.array(noise, dtype=np.int64).reshape(counts.shape)
        return noisy


def noise_key(given: bytes | None = None) -> tuple[bytes, Origin]:
    """The key of the noise: ``given``, or the hexadecimal one of the environment, or fresh from the operating system.

    A key that somebody can guess is no protection, so the seed of a run is never used for it. It is printed, logged
    and saved nowhere.

    Raises
    ------
    UsageError
        When a given key is shorter than 128 bits or not hexadecimal.
    """
    if given is None and os.environ.get(VARIABLE):
        try:
            given = bytes.fromhex(os.environ[VARIABLE])
        except ValueError:
            # Without the cause: its text could hold a part of the key.
            raise UsageError(f"{VARIABLE}: is not hexadecimal; give 32 digits or more, or unset it") from None
    if given is None:
        return secrets.token_bytes(32), "operating system"
    if len(given) < KEY_BYTES:
        raise UsageError(f"the key of the noise has {8 * len(given)} bits; give {8 * KEY_BYTES} or more, or none")
    return given, "given"


class Stream:
    """Uniform integers from a key, by SHAKE-256 in counter mode.

    Parameters
    ----------
    key
        As secret as the data.
    """

    _BLOCK: Final = 1 << 12

    def __init__(self, key: bytes) -> None:
        self._key = _framed(key)
        self._buffer = b""
        self._position = 0
        self._block = 0

    def below(self, limit: int) -> int:
        """A uniform integer of 0, …, ``limit`` − 1, by rejection: without bias."""
        bits = (limit - 1).bit_length()
        mask, length = (1 << bits) - 1, (bits + 7) // 8
        while True:
            value = int.from_bytes(self._take(length), "little") & mask
            if value < limit:
                return value

    def _take(self, length: int) -> bytes:
        if self._position + length > len(self._buffer):
            block = hashlib.shake_256(self._key + self._block.to_bytes(8, "big")).digest(self._BLOCK)
            self._buffer = self._buffer[self._position :] + block
            self._position, self._block = 0, self._block + 1
        taken = self._buffer[self._position : self._position + length]
        self._position += length
        return taken


def _framed(key: bytes) -> bytes:
    return len(key).to_bytes(8, "big") + key


# ---------------------------------------------------------------- Canonne, Kamath & Steinke (2020), Algorithms 1 to 3


def _happens(numerator: int, denominator: int, stream: Stream) -> bool:
    """True with probability exp(−numerator / denominator)."""
    while numerator > denominator:
        if not _happens(1, 1, stream):
            return False
        numerator -= denominator
    turn = 1
    while stream.below(denominator * turn) < numerator:
        turn += 1
    return turn % 2 == 1


def _laplace(scale: int, stream: Stream) -> int:
    """An integer x with probability ∝ exp(−|x| / scale)."""
    while True:
        rest = stream.below(scale)
        if not _happens(rest, scale, stream):
            continue
        wholes = 0
        while _happens(1, 1, stream):
            wholes += 1
        size = rest + scale * wholes
        negative = stream.below(2) == 1
        if negative and size == 0:
            continue
        return -size if negative else size


def _gaussian(variance: Fraction, stream: Stream) -> int:
    """An integer x with probability ∝ exp(−x² / (2 · variance))."""
    top, bottom = variance.numerator, variance.denominator
    scale = floor(sqrt(variance)) + 1
    while True:
        found = _laplace(scale, stream)
        if _happens((abs(found) * scale * bottom - top) ** 2, 2 * top * bottom * scale**2, stream):
            return found
