"""The client that is generated from the protocol's OpenAPI, which sends every number as a float."""

import asyncio
import json
import sys

from open_inference.openapi import InferenceRequest, NotFoundError, RequestInput, TensorData
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError

base = f"http://{sys.argv[1]}"
client = OpenInferenceClient(base_url=base)
found = {}


def values(numbers):
    """One row of 16."""
    return TensorData.parse_obj(list(numbers))


def infer_request(kind, shape, **data):
    """A tensor for each name."""
    inputs = [RequestInput(name=name, datatype=kind, shape=shape, data=each) for name, each in data.items()]
    return InferenceRequest(id="r-1", inputs=inputs)


for check in (client.check_server_liveness, client.check_server_readiness):
    check()
client.check_model_readiness("simple")
client.check_model_version_readiness("simple", "1")
server = client.read_server_metadata()
found["server"] = [server.name, "binary_tensor_data" in server.extensions]
for metadata in (client.read_model_metadata("simple"), client.read_model_version_metadata("simple", "1")):
    found["metadata"] = [
        metadata.name,
        metadata.versions,
        [each.name for each in (*metadata.inputs, *metadata.outputs)],
    ]

request = infer_request("INT32", [1, 16], INPUT0=values(range(16)), INPUT1=values([1] * 16))
answers = [client.model_infer("simple", request=request)]
answers.append(client.model_version_infer("simple", "1", request=request))
answers.append(asyncio.run(AsyncOpenInferenceClient(base_url=base).model_infer("simple", request=request)))
for answer in answers:
    found.setdefault("infer", []).append([answer.id, answer.model_name, answer.model_version])
    added, taken = (output.data.dict()["__root__"] for output in answer.outputs)
    found.setdefault("right", []).append(added == list(range(1, 17)) and taken == list(range(-1, 15)))
matrix = TensorData.parse_obj([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
answer = client.model_infer("matrix", request=infer_request("FP32", [2, 3], rows=matrix))
found["matrix"] = [output.data.dict()["__root__"] for output in answer.outputs]
try:
    client.read_model_metadata("missing")
except (NotFoundError, ApiError) as error:
    found["missing"] = error.status_code
try:
    client.model_infer("simple", request=infer_request("INT32", [1, 16], INPUT0=values(range(16))))
except ApiError as error:
    found["one_input"] = error.status_code
print(json.dumps(found))
