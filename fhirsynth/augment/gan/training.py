"""The training of CTGAN's two networks: Xu et al. (2019), https://arxiv.org/abs/1907.00503, told the class of each row.

The loss is that of Wasserstein with a gradient penalty (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch.nn import functional

from fhirsynth.augment.gan.settings import PAC, Settings

DECAY: Final = 0.998
"""Of the average of weights: some 500 steps weigh."""
TEMPERATURE: Final = 0.2
BETAS: Final = (0.5, 0.9)
WEIGHT_DECAY: Final = 1e-6
"""Temperature of the Gumbel softmax, and Adam's constants: those of the paper's code."""
AT_ONCE: Final = 2000
"""Rows that are made at once."""

Matrix = npt.NDArray[np.float32]
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows of one class, and their share of every batch."""

    rows: Matrix
    case: bool
    share: float


class Networks:
    """A generator and a discriminator for matrices of so many scores and one-hot parts."""

    def __init__(self, scores: int, choices: Sequence[int], settings: Settings) -> None:
        width = scores + sum(choices)
        layers = (settings.width, settings.width)
        self.scores, self.choices, self.settings = scores, tuple(choices), settings
        self.generator: Any = Generator(settings.noise + 2, layers, width)
        self.discriminator: Any = Discriminator(width + 2, layers, pac=PAC)
        self.average: Weights = {}
        self._optimizers = [
            torch.optim.Adam(net.parameters(), lr=settings.rate, betas=BETAS, weight_decay=WEIGHT_DECAY, foreach=True)
            for net in (self.generator, self.discriminator)
        ]
        self._steps = 0

    def train(
        self, pools: Sequence[Pool], steps: int, random: np.random.Generator, told: Callable[[int], None]
    ) -> None:
        """Take ``steps`` steps of each network; ``told`` is called with the number of each."""
        sizes = _sizes(pools, self.settings.batch)
        labels = self._labels(np.repeat([pool.case for pool in pools], sizes))
        self.generator.train()
        for step in range(1, steps + 1):
            rows = np.concatenate([_drawn(pool.rows, size, random) for pool, size in zip(pools, sizes, strict=True)])
            if not self.settings.told:
                # Packs of one class would tell it.
                rows = random.permutation(rows)
            self._criticise(torch.cat([torch.from_numpy(rows), labels], dim=1), labels)
            self._generate(labels)
            self._remember()
            told(step)

    def make(self, cases: npt.NDArray[np.bool_]) -> Matrix:
        """A row for each of ``cases``, shape (rows,): whether it has the condition."""
        before = {name: value.clone() for name, value in self.generator.state_dict().items()}
        if self.settings.averaged and self.average:
            self.generator.load_state_dict(self.average)
        self.generator.train(mode=not self.settings.settled)
        with torch.no_grad():
            parts = (cases[start : start + AT_ONCE] for start in range(0, len(cases), AT_ONCE))
            made = [self._rows(self._labels(part)).numpy() for part in parts]
        self.generator.load_state_dict(before)
        self.generator.train()
        return np.concatenate(made)

    def begin_anew(self, *, untold: bool) -> None:
        """Forget the average; where no case was seen yet (``untold``), a case is for the time being what others are."""
        self.average = {}
        self._steps = 0
        if not untold:
            return
        with torch.no_grad():
            first = next(self.generator.parameters())
            first[:, -1] = first[:, -2]
            entry = next(self.discriminator.parameters())
            width = entry.shape[1] // PAC
            entry[:, width - 1 :: width] = entry[:, width - 2 :: width]

    def _labels(self, cases: npt.NDArray[np.bool_]) -> torch.Tensor:
        """What the networks are told of each row, shape (rows, 2)."""
        labels = functional.one_hot(torch.from_numpy(cases).long(), 2).float()
        return labels if self.settings.told else torch.zeros_like(labels)

    def _rows(self, labels: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(labels), self.settings.noise)
        raw = self.generator(torch.cat([noise, labels], dim=1))
        scores, choices = raw[:, : self.scores], raw[:, self.scores :]
        return torch.cat([torch.tanh(scores), *self._chosen(choices)], dim=1)

    def _chosen(self, raw: torch.Tensor) -> list[torch.Tensor]:
        """Gumbel softmax of each choice: each is drawn by itself, neighbours of the same size are reckoned together."""
        if not self.choices:
            return []
        drawn = torch.cat([torch.empty(len(raw), size).exponential_() for size in self.choices], dim=1)
        noisy = (raw - drawn.log()) / TEMPERATURE
        runs = [(size, len(list(run))) for size, run in groupby(self.choices)]
        parts = noisy.split([size * many for size, many in runs], dim=1)
        return [
            part.unflatten(1, (many, size)).softmax(dim=2).flatten(1)
            for part, (size, many) in zip(parts, runs, strict=True)
        ]

    def _criticise(self, real: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.no_grad():
            made = torch.cat([self._rows(labels), labels], dim=1)
        made.requires_grad_()
        critic, optimizer = self.discriminator, self._optimizers[1]
        penalty = critic.calc_gradient_penalty(real, made, "cpu", PAC)
        loss = critic(made).mean() - critic(real).mean() + penalty
        optimizer.zero_grad()
        # Only what is stepped: nobody asks for the gradients of made rows.
        loss.backward(inputs=list(critic.parameters()))
        optimizer.step()

    def _generate(self, labels: torch.Tensor) -> None:
        loss = -self.discriminator(torch.cat([self._rows(labels), labels], dim=1)).mean()
        self._optimizers[0].zero_grad()
        loss.backward(inputs=list(self.generator.parameters()))
        self._optimizers[0].step()

    def _remember(self) -> None:
        """Let the average follow; early steps weigh less, as it would otherwise begin at what was drawn."""
        decay = min(DECAY, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        state = self.generator.state_dict()
        if not self.average:
            self.average = {name: value.clone() for name, value in state.items()}
        for name, value in state.items():
            if value.dtype.is_floating_point:
                self.average[name].mul_(decay).add_(value, alpha=1 - decay)


def _sizes(pools: Sequence[Pool], batch: int) -> list[int]:
    """Rows of each pool in a batch, whole packs wherever that leaves none empty."""
    wanted = [max(PAC * round(pool.share * batch / PAC), PAC) for pool in pools]
    largest = int(np.argmax(wanted))
    wanted[largest] += batch - sum(wanted)
    return wanted


def _drawn(rows: Matrix, size: int, random: np.random.Generator) -> Matrix:
    return rows[random.integers(0, len(rows), size)]
