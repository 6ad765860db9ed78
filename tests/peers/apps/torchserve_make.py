"""Writes TorchServe's model archive and settings."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

weights = np.load(os.environ["PEER_MODEL"])
layers = [torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)]
model = torch.nn.Sequential(*layers).eval()
with torch.no_grad():
    for layer, w, b in ((layers[0], "w0", "b0"), (layers[2], "w1", "b1")):
        layer.weight.copy_(torch.from_numpy(weights[w].T))
        layer.bias.copy_(torch.from_numpy(weights[b]))
torch.jit.script(model).save("model.pt")
Path("store").mkdir()
archiver = [str(Path(sys.executable).parent / "torch-model-archiver"), "--model-name", "digits", "--version", "1"]
archiver += ["--serialized-file", "model.pt", "--handler", "torchserve_handler.py", "--export-path", "store"]
subprocess.run(archiver, check=True)
http, management, metrics, grpc, grpc_management = sys.argv[1:6]
Path("config.properties").write_text(
    f"inference_address=http://127.0.0.1:{http}\nmanagement_address=http://127.0.0.1:{management}\n"
    f"metrics_address=http://127.0.0.1:{metrics}\ngrpc_inference_address=127.0.0.1\ngrpc_management_address=127.0.0.1\n"
    f"grpc_inference_port={grpc}\ngrpc_management_port={grpc_management}\ndefault_workers_per_model=1\n"
    "disable_token_authorization=true\n"
)
