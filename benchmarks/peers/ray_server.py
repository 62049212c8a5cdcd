"""A Ray Serve application that runs a numeric ONNX model on one thread: python ray_server.py PORT."""

import os
import sys
import time

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
class Model:
    """Serves the file that PEER_MODEL names."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options)

    async def __call__(self, request: Request) -> dict:
        """One array in, one array out."""
        rows = np.array((await request.json())["rows"], dtype=np.float32)
        (scores,) = self._session.run(["probability"], {"features": rows})
        return {"probability": scores.tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"port": int(sys.argv[1])}, logging_config={"enable_access_log": False})
    serve.run(Model.bind(os.environ["PEER_MODEL"]))
    time.sleep(3600)
