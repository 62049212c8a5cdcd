"""What Triton's HTTP client does in its sample programs: every way to send and to get, and what it does with errors."""

import asyncio
import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

address = sys.argv[1]
client = triton.InferenceServerClient(address, concurrency=4)
found = {}


def pair(kind, *, binary=True, batch=1):
    """Two rows of 16, as the sample programs send them."""
    first = np.arange(16, dtype=np.int32).reshape(1, 16).repeat(batch, axis=0)
    second = np.full((batch, 16), -1, np.int32)
    inputs = []
    for name, values in (("INPUT0", first), ("INPUT1", second)):
        tensor = triton.InferInput(name, list(values.shape), kind)
        sent = values if kind == "INT32" else np.array([str(each).encode() for each in values.ravel()], object)
        tensor.set_data_from_numpy(sent.reshape(values.shape), binary_data=binary)
        inputs.append(tensor)
    return inputs, first, second


def right(result, first, second, kind="INT32"):
    """Whether sum and difference came back."""
    added, taken = result.as_numpy("OUTPUT0"), result.as_numpy("OUTPUT1")
    if kind == "BYTES":
        added, taken = added.astype(np.int32), taken.astype(np.int32)
    return bool((added == first + second).all() and (taken == first - second).all())


def refused(verb, *arguments, **named):
    """[status, message] of a call that fails."""
    try:
        verb(*arguments, **named)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return "it did not fail"


found["live"] = client.is_server_live() and client.is_server_ready() and client.is_model_ready("simple")
found["version_ready"] = [client.is_model_ready("simple", version) for version in ("1", "2")]
found["extensions"] = client.get_server_metadata()["extensions"]
metadata, config = client.get_model_metadata("simple"), client.get_model_config("simple")
found["metadata"] = [
    [each["name"], each["datatype"], each["shape"]] for each in metadata["inputs"] + metadata["outputs"]
]
found["config"] = [[each["name"], each["data_type"], each["dims"]] for each in config["input"] + config["output"]]
found["batch"] = config["max_batch_size"] > 0
found["index"] = sorted([each["name"], each["version"]] for each in client.get_model_repository_index())

for kind, model in (("INT32", "simple"), ("BYTES", "simple_string")):
    for binary_in in (True, False):
        for binary_out in (True, False, None):
            for coding in (None, "gzip", "deflate"):
                inputs, first, second = pair(kind, binary=binary_in, batch=3)
                outputs = None
                if binary_out is not None:
                    names = ("OUTPUT1", "OUTPUT0")
                    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
                answer = client.infer(
                    model,
                    inputs,
                    outputs=outputs,
                    request_id="r-1",
                    query_params={"test_1": 1},
                    headers={"test": "1"},
                    request_compression_algorithm=coding,
                    response_compression_algorithm=coding,
                )
                good = right(answer, first, second, kind) and answer.get_response()["id"] == "r-1"
                found.setdefault("infer", []).append(good)
large, first, second = pair("INT32", batch=500)
found["large"] = right(client.infer("simple", large, response_compression_algorithm="gzip"), first, second)
inputs, first, second = pair("INT32")
found["one_output"] = client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT1")]).get_response()[
    "outputs"
][0]["name"]
pending = [client.async_infer("simple", inputs) for _ in range(20)]
found["async"] = all(right(each.get_result(), first, second) for each in pending)


async def by_aio():
    async with triton_aio.InferenceServerClient(address) as other:
        return right(await other.infer("simple", inputs), first, second)


found["aio"] = asyncio.run(by_aio())
body, json_bytes = triton.InferenceServerClient.generate_request_body(inputs)
head = {"Inference-Header-Content-Length": str(json_bytes), "Content-Type": "application/octet-stream"}
raw = client._post("v2/models/simple/infer", body, head, None)
parsed = triton.InferenceServerClient.parse_response_body(
    raw.read(), header_length=int(raw.get("Inference-Header-Content-Length"))
)
found["generated_body"] = right(parsed, first, second)

texts = np.array(["", "ü", "a\0b", "x" * 300] * 4, object).reshape(1, 16)
tensor = triton.InferInput("INPUT0", [1, 16], "BYTES")
tensor.set_data_from_numpy(texts)
answer = client.infer("simple_identity", [tensor]).as_numpy("OUTPUT0")
found["texts"] = [each.decode() for each in answer.ravel()] == texts.ravel().tolist()

halves = np.array([[1.5, -2.25, 65504, 0]], np.float16)
whole = np.array([[1.5, -3.140625, 3e38, 0]], ml_dtypes.bfloat16)
far = np.array([[2**64 - 1]], np.uint64)
sent = []
for name, values, kind in (("x", halves, "FP16"), ("y", whole, "BF16"), ("z", far, "UINT64")):
    sent.append(triton.InferInput(name, list(values.shape), kind))
    sent[-1].set_data_from_numpy(values)
answer = client.infer("halves", sent)
found["halves"] = bool((answer.as_numpy("out_x") == halves).all() and (answer.as_numpy("out_z") == far).all())
found["bfloat16"] = bool((answer.as_numpy("out_y").astype(np.float32) == whole.astype(np.float32)).all())

found["unknown_model"] = refused(client.infer, "wrong_model_name", inputs)
found["unknown_version"] = refused(client.infer, "simple", inputs, model_version="9")
found["one_input"] = refused(client.infer, "simple", inputs[:1])
found["unknown_output"] = refused(client.infer, "simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT9")])
found["classes"] = refused(
    client.infer, "simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT0", class_count=3)]
)
client.unload_model("halves")
found["unloaded"] = not client.is_model_ready("halves")
client.load_model("halves")
found["loaded_again"] = client.is_model_ready("halves")
found["load_unknown"] = refused(client.load_model, "wrong_model_name")
statistics = client.get_inference_statistics("simple")["model_stats"][0]["inference_stats"]
found["statistics"] = statistics["success"]["count"] == statistics["compute_infer"]["count"] > 40
print(json.dumps(found))
