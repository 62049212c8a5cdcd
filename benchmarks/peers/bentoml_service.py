"""A BentoML service that runs a numeric ONNX model on one thread."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Model:
    """Serves the file that PEER_MODEL names."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """One array in, one array out."""
        (scores,) = self._session.run(["probability"], {"features": rows.astype(np.float32)})
        return scores
