"""Writes MLflow models: one that takes tensors and gives probabilities, one that wants named columns."""

import mlflow
import numpy as np
from mlflow.models import infer_signature
from model import classifier, probabilities

x = np.zeros((3, 64), np.float64)
made = classifier()
common = {"pyfunc_predict_fn": "predict_proba", "pip_requirements": ["scikit-learn"]}
mlflow.sklearn.save_model(made, "tensor", signature=infer_signature(x, probabilities(x)), **common)
import pandas as pd  # noqa: E402

table = pd.DataFrame(x, columns=[f"p{i}" for i in range(64)])
mlflow.sklearn.save_model(made, "table", signature=infer_signature(table, probabilities(x)), **common)
