"""Saves a numeric ONNX model as MLflow keeps one: python mlflow_model.py PACKAGE FOLDER."""

import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

if __name__ == "__main__":
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 30), "features")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1,), "probability")]),
    )
    options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    model = onnx.load(sys.argv[1])
    mlflow.onnx.save_model(model, sys.argv[2], signature=signature, onnx_session_options=options)
