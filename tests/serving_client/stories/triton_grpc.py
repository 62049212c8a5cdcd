"""What Triton's gRPC client does in its sample programs: every way to send, streams, and what it does with errors."""

import asyncio
import json
import queue
import sys

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

address = sys.argv[1]
client = triton.InferenceServerClient(address)
found = {}


def pair(kind, *, batch=1):
    """Two rows of 16, as the sample programs send them."""
    first = np.arange(16, dtype=np.int32).reshape(1, 16).repeat(batch, axis=0)
    second = np.full((batch, 16), -1, np.int32)
    inputs = []
    for name, values in (("INPUT0", first), ("INPUT1", second)):
        tensor = triton.InferInput(name, list(values.shape), kind)
        sent = values if kind == "INT32" else np.array([str(each).encode() for each in values.ravel()], object)
        tensor.set_data_from_numpy(sent.reshape(values.shape))
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
found["extensions"] = "statistics" in client.get_server_metadata().extensions
metadata, config = client.get_model_metadata("simple"), client.get_model_config("simple").config
found["metadata"] = [[each.name, each.datatype, list(each.shape)] for each in (*metadata.inputs, *metadata.outputs)]
found["config"] = [[each.name, each.data_type, list(each.dims)] for each in (*config.input, *config.output)]
found["platform"] = [metadata.platform, config.platform, config.backend, config.max_batch_size > 0]
found["index"] = ["simple", "1"] in [[each.name, each.version] for each in client.get_model_repository_index().models]

for kind, model in (("INT32", "simple"), ("BYTES", "simple_string")):
    for coding in (None, "gzip", "deflate"):
        for names in (None, ("OUTPUT1", "OUTPUT0")):
            inputs, first, second = pair(kind, batch=3)
            outputs = None if names is None else [triton.InferRequestedOutput(name) for name in names]
            answer = client.infer(
                model,
                inputs,
                outputs=outputs,
                request_id="r 1",
                headers={"test": "1"},
                compression_algorithm=coding,
                parameters={"custom": "yes"},
                client_timeout=60,
            )
            found.setdefault("infer", []).append(
                right(answer, first, second, kind) and answer.get_response().id == "r 1"
            )
large, first, second = pair("INT32", batch=20_000)  # many frames, both ways
found["large"] = right(client.infer("simple", large), first, second)

inputs, first, second = pair("INT32")
answers = queue.Queue()
for _ in range(20):
    client.async_infer("simple", inputs, lambda result, error: answers.put((result, error)))
found["async"] = all(right(answers.get(timeout=60)[0], first, second) for _ in range(20))


async def by_aio():
    async with triton_aio.InferenceServerClient(address) as other:
        return right(await other.infer("simple", inputs), first, second)


found["aio"] = asyncio.run(by_aio())

client.start_stream(lambda result, error: answers.put((result, error)))
for number in range(20):
    client.async_stream_infer("simple" if number != 7 else "missing", inputs, request_id=str(number))
streamed = [answers.get(timeout=60) for _ in range(20)]
client.stop_stream()
good = [right(result, first, second) for result, error in streamed if error is None]
found["stream"] = [len(good), all(good), next(str(error) for _, error in streamed if error)]
ids = [int(result.get_response().id) for result, error in streamed if error is None]
found["stream_order"] = ids == [number for number in range(20) if number != 7]

# Typed contents, as the sample programs with "explicit content" send them.
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address))
sent = service_pb2.ModelInferRequest(model_name="simple")
for name, value in (("INPUT0", first), ("INPUT1", second)):
    tensor = sent.inputs.add(name=name, datatype="INT32", shape=[1, 16])
    tensor.contents.int_contents[:] = value.ravel().tolist()
raw = [np.frombuffer(each, np.int32).reshape(1, 16) for each in stub.ModelInfer(sent).raw_output_contents]
found["explicit"] = bool((raw[0] == first + second).all() and (raw[1] == first - second).all())
sent.parameters["binary_data_output"].bool_param = False
found["typed"] = list(stub.ModelInfer(sent).outputs[1].contents.int_contents) == (first - second).ravel().tolist()

texts = np.array(["", "ü", "a\0b", "x" * 300] * 4, object).reshape(1, 16)
tensor = triton.InferInput("INPUT0", [1, 16], "BYTES")
tensor.set_data_from_numpy(texts)
answer = client.infer("simple_identity", [tensor]).as_numpy("OUTPUT0")
found["texts"] = [each.decode() for each in answer.ravel()] == texts.ravel().tolist()

halves = np.array([[1.5, -2.25, 65504, 0]], np.float16)
whole = np.array([[1.5, -3.140625, 3e38, 0]], ml_dtypes.bfloat16)
far = np.array([[2**64 - 1]], np.uint64)
both = []
for name, values, kind in (("x", halves, "FP16"), ("y", whole, "BF16"), ("z", far, "UINT64")):
    both.append(triton.InferInput(name, list(values.shape), kind))
    both[-1].set_data_from_numpy(values)
answer = client.infer("halves", both)
found["halves"] = bool((answer.as_numpy("out_x") == halves).all() and (answer.as_numpy("out_z") == far).all())
found["bfloat16"] = bool((answer.as_numpy("out_y").astype(np.float32) == whole.astype(np.float32)).all())

found["unknown_model"] = refused(client.infer, "wrong_model_name", inputs)
found["unknown_version"] = refused(client.infer, "simple", inputs, model_version="9")
found["one_input"] = refused(client.infer, "simple", inputs[:1])
found["unknown_output"] = refused(client.infer, "simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT9")])
client.unload_model("halves")
found["unloaded"] = not client.is_model_ready("halves")
found["unavailable"] = refused(client.infer, "halves", both)
client.load_model("halves")
found["loaded_again"] = client.is_model_ready("halves")
found["load_unknown"] = refused(client.load_model, "wrong_model_name")
found["deadline"] = refused(client.infer, "simple", large, client_timeout=0.000001)[0]
statistics = client.get_inference_statistics("simple").model_stats[0].inference_stats
found["statistics"] = statistics.success.count == statistics.compute_infer.count > 30
print(json.dumps(found))
