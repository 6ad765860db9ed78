"""The model behind Azure ML's inference server."""

import json

from model import probabilities


def init():
    """Nothing to load."""


def run(raw):
    """Probabilities."""
    return probabilities(json.loads(raw)["input_data"]).tolist()
