"""The client that is generated from the protocol's own `.proto`, where a model's version is optional and metadata has properties."""

import json
import sys

import grpc
import numpy as np
from open_inference.grpc import protocol, service

stub = service.GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))
found = {
    "live": stub.ServerLive(protocol.ServerLiveRequest()).live,
    "ready": stub.ServerReady(protocol.ServerReadyRequest()).ready,
    "model_ready": [
        stub.ModelReady(protocol.ModelReadyRequest(name="simple", **more)).ready for more in ({}, {"version": "1"})
    ],
    "extensions": "binary_tensor_data" in stub.ServerMetadata(protocol.ServerMetadataRequest()).extensions,
}
metadata = stub.ModelMetadata(protocol.ModelMetadataRequest(name="late"))
found["metadata"] = [list(metadata.versions), dict(metadata.properties), [list(each.shape) for each in metadata.inputs]]

request = protocol.ModelInferRequest(model_name="simple", id="r-1")
sent = {"INPUT0": np.arange(16, dtype=np.int32), "INPUT1": np.full(16, -1, np.int32)}
for name, values in sent.items():
    tensor = request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
    tensor.contents.int_contents.extend(values.tolist())
raw = protocol.ModelInferRequest()
raw.CopyFrom(request)
for tensor, values in zip(raw.inputs, sent.values(), strict=True):
    tensor.ClearField("contents")
    raw.raw_input_contents.append(values.tobytes())
typed = protocol.ModelInferRequest()
typed.CopyFrom(request)
typed.parameters["binary_data_output"].bool_param = False
for name, asked in (("contents", request), ("raw", raw)):
    answer = stub.ModelInfer(asked)
    got = [np.frombuffer(each, np.int32).tolist() for each in answer.raw_output_contents]
    found[name] = [
        answer.id,
        answer.model_version,
        got == [(sent["INPUT0"] - 1).tolist(), (sent["INPUT0"] + 1).tolist()],
    ]
answer = stub.ModelInfer(typed)
found["typed"] = list(answer.outputs[1].contents.int_contents) == (sent["INPUT0"] + 1).tolist()
request.model_name = "missing"
try:
    stub.ModelInfer(request)
except grpc.RpcError as error:
    found["missing"] = error.code().name
print(json.dumps(found))
