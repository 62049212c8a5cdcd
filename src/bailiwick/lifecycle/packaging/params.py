"""The params of a logged model in what its package says of itself."""

from __future__ import annotations

from typing import Any

import msgspec
from onnx import helper

from bailiwick.core.canonical import canonical_json
from bailiwick.pyfunc.mlmodel import LoggedModel
from bailiwick.training.metadata import read_metadata
from bailiwick.training.wrapping import parse


def described_params(model: LoggedModel) -> list[dict[str, Any]]:
    """As a signature has them."""
    found: list[dict[str, Any]] = msgspec.to_builtins(model.params)
    return found


def with_params(package: bytes, model: LoggedModel) -> bytes:
    """An ONNX package that says which params its model declared. They change no answer, for then there were no graph, but
    what callers give is held to them, as MLflow holds it.
    """
    if not model.params:
        return package
    graph = parse(package)
    signature = {**read_metadata(graph).signature, "params": described_params(model)}
    metadata = {item.key: item.value for item in graph.metadata_props}
    helper.set_model_props(graph, {**metadata, "bailiwick.signature": canonical_json(signature).decode()})
    return bytes(graph.SerializeToString(deterministic=True))
