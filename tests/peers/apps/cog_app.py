"""The model behind Cog, Replicate's server: one input at a time, as text."""

from cog import BasePredictor, Input
from model import probabilities


class Predictor(BasePredictor):
    """The digit model."""

    def predict(self, x: str = Input(description="64 numbers, joined by commas")) -> dict[str, float]:
        """Probabilities by class."""
        scores = probabilities([[float(value) for value in x.split(",")]])[0]
        return {str(i): float(score) for i, score in enumerate(scores)}
