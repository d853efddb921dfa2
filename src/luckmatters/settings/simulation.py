"""Dynamics that are simulated without a file of teachers."""

from typing import Annotated

from pydantic import (
    Field,
)

from luckmatters.settings.base import Model, Positive, Seeds


class Simulation(Model):
    """What the settings of every simulating kind have.

    An epoch is `steps_per_epoch` steps of plain gradient descent, each on a new batch.
    """

    learning_rate: Annotated[float, Field(gt=0)]
    batch: Positive
    steps_per_epoch: Positive
    epochs: Positive
    seeds: Seeds
