"""Writes the files of an MLServer: the model as joblib, and settings with the given ports."""

import json
import sys
from pathlib import Path

import joblib
from model import classifier

http, grpc, metrics = (int(port) for port in sys.argv[1:4])
Path("digits").mkdir()
joblib.dump(classifier(), "digits/model.joblib")
settings = {"host": "127.0.0.1", "parallel_workers": 0, "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
Path("settings.json").write_text(json.dumps(settings))
described = {
    "name": "digits",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib", "version": "v1.0"},
}
Path("digits/model-settings.json").write_text(json.dumps(described))
