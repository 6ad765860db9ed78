"""What TorchServe does with a request: one row of JSON, the five likeliest classes."""

import json

import torch
from ts.torch_handler.base_handler import BaseHandler


class Digits(BaseHandler):
    """The digit model."""

    def preprocess(self, data):
        """Rows of all requests."""
        bodies = [entry.get("data") or entry.get("body") for entry in data]
        rows = [json.loads(body) if isinstance(body, bytes | bytearray) else body for body in bodies]
        return torch.tensor(rows, dtype=torch.float32)

    def inference(self, x):
        """Probabilities."""
        with torch.no_grad():
            return torch.softmax(self.model(x), -1)

    def postprocess(self, scores):
        """The five likeliest classes."""
        best, at = scores.topk(5, -1)
        return [{str(int(i)): float(p) for p, i in zip(ps, js, strict=True)} for ps, js in zip(best, at, strict=True)]
