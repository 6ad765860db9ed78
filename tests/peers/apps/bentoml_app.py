"""The model behind BentoML."""

import bentoml
import numpy as np
from model import probabilities


@bentoml.service(traffic={"timeout": 30})
class Digits:
    """The digit model."""

    @bentoml.api
    def predict_proba(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities."""
        return probabilities(pixels)

    @bentoml.api
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Labels."""
        return probabilities(pixels).argmax(1)
