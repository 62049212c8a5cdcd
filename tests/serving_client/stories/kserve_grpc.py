"""What KServe's gRPC client does: health, readiness, inference with raw and with typed contents, and errors."""

import asyncio
import json
import sys

import grpc
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient

address = sys.argv[1]


async def main():
    found = {}
    client = InferenceGRPCClient(url=address, retries=0)
    found["live"] = await client.is_server_live()
    found["ready"] = await client.is_server_ready()
    found["model_ready"] = await client.is_model_ready("simple")
    first, second = np.arange(16, dtype=np.int32).reshape(1, 16), np.full((1, 16), -1, np.int32)
    for binary in (False, True):
        inputs = []
        for name, values in (("INPUT0", first), ("INPUT1", second)):
            tensor = InferInput(name, list(values.shape), "INT32")
            tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(tensor)
        answer = await client.infer(InferRequest("simple", inputs, request_id="r-1"))
        added = {output.name: output.as_numpy() for output in answer.outputs}["OUTPUT0"]
        found[f"infer_{binary}"] = [bool((added.reshape(1, 16) == first + second).all()), answer.id, answer.model_name]
    try:
        await client.infer(InferRequest("missing", inputs))
    except grpc.RpcError as error:
        found["missing"] = error.code().name
    await client.close()
    print(json.dumps(found))


asyncio.run(main())
