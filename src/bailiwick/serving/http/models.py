"""What is served, in the words of the Open Inference Protocol and of Triton's extensions: metadata, config, index."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from bailiwick import __version__
from bailiwick.serving.http.oip import tensor_metadata
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.settings import setting_parameters
from bailiwick.serving.tensors import TensorSpec

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")

STATED_BATCH = 65_536
"""What clients are told that a batch may be; there is no limit but that of the body."""

_CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


def server_metadata(name: str) -> dict[str, Any]:
    """The answer of `GET /v2`."""
    return {"name": name, "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(compiled: CompiledEndpoint) -> dict[str, Any]:
    """The answer of `GET /v2/models/<endpoint>`."""
    return {
        "name": compiled.endpoint.name,
        "versions": versions_of(compiled),
        "platform": platform_of(compiled),
        "inputs": [tensor_metadata(spec) for spec in compiled.binder.specs],
        "outputs": [tensor_metadata(spec) for spec in compiled.outputs],
        "properties": {"key": compiled.endpoint.key, "time": compiled.endpoint.time, **_params(compiled)},
    }


def _params(compiled: CompiledEndpoint) -> dict[str, str]:
    """What requests may say in their parameters, as JSON; the protocol's properties are texts."""
    declared = compiled.binder.params
    if declared is None:
        return {}
    return {"params": msgspec.json.encode(list(declared.specs.values())).decode()}


def versions_of(compiled: CompiledEndpoint) -> list[str]:
    """Those with a share of the traffic, each of which has a URL of its own."""
    return [str(arm.variant.version) for arm in compiled.arms]


def platform_of(compiled: CompiledEndpoint) -> str:
    """What runs the newest version, in the protocol's words."""
    return compiled.arms[0].runtime.platform


def model_config(compiled: CompiledEndpoint) -> dict[str, Any]:
    """The answer of `GET /v2/models/<endpoint>/config`: Triton's model configuration, as far as it means something here."""
    platform = platform_of(compiled)
    onnx = platform == "onnx_onnxv1"
    return {
        "name": compiled.endpoint.name,
        "platform": "onnxruntime_onnx" if onnx else "",
        "backend": "onnxruntime" if onnx else platform,
        "version_policy": {"specific": {"versions": [arm.variant.version for arm in compiled.arms]}},
        "max_batch_size": STATED_BATCH,
        "input": [_config(spec) | {"format": "FORMAT_NONE", "optional": False} for spec in compiled.binder.specs],
        "output": [_config(spec) | {"label_filename": ""} for spec in compiled.outputs],
        "batch_input": [],
        "batch_output": [],
        "optimization": {},
        "instance_group": [{"name": compiled.endpoint.name, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": "model.onnx" if onnx else "",
        "parameters": setting_parameters(compiled),
        "model_warmup": [],
    }


class _IndexRequest(Struct):
    ready: bool = False


_decode_index = msgspec.json.Decoder(_IndexRequest).decode


def parse_index(body: bytes) -> bool:
    """Whether only what is ready is asked for; an empty body asks for everything. Raises Refused."""
    try:
        return _decode_index(body).ready if body.strip() else False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"The body is not a repository index request: {error}.") from None


def index(
    endpoints: Mapping[str, CompiledEndpoint],
    failures: Mapping[str, str],
    unloaded: Collection[str] = (),
    *,
    only_ready: bool,
) -> list[dict[str, str]]:
    """The answer of `POST /v2/repository/index`: each live version, endpoints of which none could be loaded, and unloaded ones."""
    found = [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, compiled in sorted(endpoints.items())
        for version in versions_of(compiled)
    ]
    if not only_ready:
        lacking = sorted(set(failures) - set(endpoints))
        found += [{"name": name, "version": "", "state": "UNAVAILABLE", "reason": failures[name]} for name in lacking]
        found += [
            {"name": name, "version": "", "state": "UNAVAILABLE", "reason": "unloaded"} for name in sorted(unloaded)
        ]
    return found


def _config(spec: TensorSpec) -> dict[str, Any]:
    kind = _CONFIG_TYPES.get(spec.datatype, f"TYPE_{spec.datatype}")
    # Sizes of one row; a row that is one value has none, which the configuration says by reshaping.
    found: dict[str, Any] = {"name": spec.name, "data_type": kind, "dims": list(spec.tail) or [1]}
    return found if spec.tail else found | {"reshape": {"shape": []}}
