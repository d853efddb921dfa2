"""Dynamics that are simulated without a file of teachers."""

from pydantic import Field

from luckmatters.settings.base import Model, Positive, Seeds


class Simulation(Model):
    """What the settings of every simulating kind have: plain gradient descent, each step on a new batch."""

    learning_rate: float = Field(gt=0, description="Learning rate of every step.")
    batch: Positive = Field(description="Number of samples in a step.")
    steps_per_epoch: Positive = Field(description="Number of steps in an epoch.")
    epochs: Positive = Field(description="Number of epochs.")
    seeds: Seeds
