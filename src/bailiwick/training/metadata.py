"""What an ONNX package says of itself. Apart from making packages, for whoever only reads them needs no training library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import onnx
from msgspec import Struct

from bailiwick.core.errors import Corrupted

FORMAT = "1"


class PackageMetadata(Struct, frozen=True):
    """What a package says of itself: `signature` as OIP writes it, digest of the fitted features, the model's columns."""

    signature: dict[str, Any]
    features: str
    names: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, str]:
        """OIP datatype by input name, in the order of the signature."""
        return {item["name"]: item["datatype"] for item in self.signature["inputs"]}


def read_metadata(model: onnx.ModelProto) -> PackageMetadata:
    """Raises Corrupted when the model is not a package of the known format."""
    found = {item.key: item.value for item in model.metadata_props}
    if found.get("bailiwick.format") != FORMAT:
        raise Corrupted(
            f"The package has format {found.get('bailiwick.format')!r}; this version knows {FORMAT!r}.",
            hint="Train it again with this version.",
        )
    try:
        return PackageMetadata(
            signature=json.loads(found["bailiwick.signature"]),
            features=found["bailiwick.features"],
            names=tuple(json.loads(found["bailiwick.names"])),
        )
    except (KeyError, ValueError) as error:
        raise Corrupted(f"The package's metadata is damaged: {type(error).__name__}: {error}.") from error


def kept_elsewhere(model: onnx.ModelProto) -> list[str]:
    """Tensors whose values the graph names a file for: loading it would read that file, whatever it is."""
    graphs = [model.graph.node, *(function.node for function in model.functions)]
    tensors = [*model.graph.initializer, *(tensor for nodes in graphs for tensor in _tensors(nodes))]
    return [
        tensor.name for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data
    ]


def _tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """Of attributes, and of graphs within graphs."""
    for node in nodes:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for graph in [attribute.g, *attribute.graphs]:
                yield from graph.initializer
                yield from _tensors(graph.node)
