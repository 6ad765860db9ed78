"""The model behind KServe's own server, protocols V1 and V2."""

import sys

import numpy as np
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response
from model import probabilities


class Digits(Model):
    """The digit model."""

    def __init__(self) -> None:
        super().__init__("digits")
        self.ready = True

    def predict(self, payload, headers=None):
        """Probabilities."""
        answer = probabilities(np.asarray(get_predict_input(payload)))
        return get_predict_response(payload, answer, self.name)


ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2])).start([Digits()])
