"""A LitServe server that runs a numeric ONNX model on one thread: python litserve_server.py PORT."""

import os
import sys

import litserve
import numpy as np
import onnxruntime


class Model(litserve.LitAPI):
    """Serves the file that PEER_MODEL names."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe passes it by name
        """Open the session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)

    def decode_request(self, request: dict) -> np.ndarray:
        """From JSON."""
        return np.array(request["rows"], dtype=np.float32)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """One array in, one array out."""
        (scores,) = self._session.run(["probability"], {"features": rows})
        return scores

    def encode_response(self, scores: np.ndarray) -> dict:
        """To JSON."""
        return {"probability": scores.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning")
