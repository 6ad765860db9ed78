"""The model behind a real Triton server."""

import sys

import numpy as np
from model import probabilities
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


@batch
def infer(x):
    """Probabilities."""
    return [probabilities(x).astype(np.float32)]


http, grpc, metrics = (int(port) for port in sys.argv[1:4])
where = TritonConfig(
    http_address="127.0.0.1", http_port=http, grpc_address="127.0.0.1", grpc_port=grpc, metrics_port=metrics
)
with Triton(config=where) as server:
    server.bind(
        model_name="digits",
        infer_func=infer,
        inputs=[Tensor(name="x", dtype=np.float32, shape=(64,))],
        outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
        config=ModelConfig(max_batch_size=16),
    )
    server.serve()
