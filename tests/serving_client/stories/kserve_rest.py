"""What KServe's REST client does over protocol v2, with tensors in JSON and as bytes."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

base = f"http://{sys.argv[1]}"
found = {}


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=20))
    found["live"] = await client.is_server_live(base)
    found["ready"] = await client.is_server_ready(base)
    found["model_ready"] = await client.is_model_ready(base, "simple")
    first, second = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), np.int32)
    for binary in (False, True):
        inputs = [InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
        for tensor, values in zip(inputs, (first, second), strict=True):
            tensor.set_data_from_numpy(values, binary_data=binary)
        request = InferRequest(model_name="simple", infer_inputs=inputs, request_id="a b")
        answer = await client.infer(base, request, model_name="simple")
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        good = (outputs["OUTPUT0"].ravel() == (first + second).ravel()).all()
        found[f"infer_{binary}"] = [bool(good), answer.id, answer.model_name, answer.model_version]
        matrix = InferInput("input-0", [2, 3], "FP32")
        matrix.set_data_from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3), binary_data=binary)
        answer = await client.infer(base, InferRequest(model_name="matrix", infer_inputs=[matrix]), model_name="matrix")
        found[f"matrix_{binary}"] = [output.as_numpy().ravel().tolist() for output in answer.outputs]


asyncio.run(main())
print(json.dumps(found))
