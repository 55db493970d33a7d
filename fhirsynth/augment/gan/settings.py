"""What decides how CTGAN is trained; every switch is a row of the ablation (``docs/rare/rare.md``)."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

PAC: Final = 10
"""Rows of one class that the discriminator sees together (Lin et al. 2018, https://arxiv.org/abs/1712.04086)."""


class Settings(BaseModel):
    """Switches and sizes of one training.

    Parameters
    ----------
    normal_scores
        Numbers become normal scores by their rank; otherwise they are standardised.
    hurdle
        A number's commonest value becomes a flag of its own, where a tenth of the rows have it.
    flagged
        A missing value is a flag of its own; otherwise another of its column stands for it, and made rows are complete.
    told
        The networks are told who has the condition; otherwise it is a column like the others, cases have their share of
        the rows, and are found by rejection.
    balanced
        Half of every batch are cases; otherwise their share is that of the rows.
    settled
        Rows are made with the batch normalisation that training has settled on. The library normalises each batch of
        made rows by itself: a batch of cases alone then loses what tells cases from others.
    averaged
        Rows are made by a running average of the generator's weights: a GAN's last step is one of many that differ.
    stopping
        The number of steps, up to the budget, is chosen on a third of the rows that is held back, and then all rows
        are learned from.
    batch, rate, width, noise
        Rows in a batch, Adam's learning rate, units of the two hidden layers, and numbers of noise for a row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    normal_scores: bool = True
    hurdle: bool = True
    flagged: bool = True
    told: bool = True
    balanced: bool = True
    settled: bool = True
    averaged: bool = True
    stopping: bool = False
    batch: int = 200
    rate: float = 2e-4
    width: int = 256
    noise: int = 128

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        if self.stopping and not self.told:
            raise ValueError("stopping needs networks that are told who has the condition")
        return self
