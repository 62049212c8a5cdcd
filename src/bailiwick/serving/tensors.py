"""Datatypes of the Open Inference Protocol, and a package's signature in terms of them."""

from __future__ import annotations

from math import prod

import msgspec
import numpy as np
from msgspec import Struct

from bailiwick.core.errors import InvalidInput
from bailiwick.pyfunc.params import ParamSpec

NUMPY_TYPES: dict[str, type] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BF16": np.float32,  # NumPy has none; a float32 holds each exactly, and the graph rounds (see `packing`)
    "BYTES": np.object_,
}

FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})


class TensorSpec(Struct, frozen=True):
    """One named tensor; the first dimension is rows (-1), the others are fixed.

    Not `nullable` is an input whose model refuses rows where it is not known.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = True

    @property
    def dtype(self) -> type:
        """The NumPy type that ONNX Runtime takes and gives."""
        return NUMPY_TYPES[self.datatype]

    @property
    def tail(self) -> tuple[int, ...]:
        """Dimensions of one row."""
        return self.shape[1:]

    @property
    def width(self) -> int:
        """Values in one row."""
        return prod(self.tail)

    @property
    def python_types(self) -> frozenset[type]:
        """Types of JSON values that are taken as they are; null is handled apart."""
        if self.datatype in FLOATS:
            return frozenset({float, int})
        return {"BOOL": frozenset({bool}), "BYTES": frozenset({str})}.get(self.datatype, frozenset({int}))

    @property
    def null(self) -> float | str | None:
        """What the model sees for JSON null: NaN, the empty text, or None where null is refused."""
        if self.datatype in FLOATS:
            return float("nan") if self.nullable else None
        return "" if self.datatype == "BYTES" else None


class Signature(Struct, frozen=True):
    """Inputs and outputs of a package, as its `bailiwick.signature` says.

    `params` are what a logged model takes beside its rows. With `documents` nothing says what its columns are: the one input
    is a request of MLflow's scoring protocol as text, the one output its answer as JSON.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    params: tuple[ParamSpec, ...] = ()
    documents: bool = False


class _Written(Struct, frozen=True):
    """A signature in a package; those of before models could be given params have names alone."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    params: tuple[ParamSpec | str, ...] = ()
    documents: bool = False


def parse_signature(text: str) -> Signature:
    """The signature in a package's metadata. Raises InvalidInput."""
    try:
        written = msgspec.json.decode(text, type=_Written)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"The package's bailiwick.signature cannot be read: {error}.") from error
    params = tuple(ParamSpec(each) if isinstance(each, str) else each for each in written.params)
    signature = Signature(written.inputs, written.outputs, params, written.documents)
    for spec in (*signature.inputs, *signature.outputs):
        if spec.datatype not in NUMPY_TYPES:
            raise InvalidInput.choice(f"Datatype of {spec.name}", spec.datatype, NUMPY_TYPES)
        if not spec.shape or spec.shape[0] != -1 or any(size < 1 for size in spec.tail):
            raise InvalidInput(f"Shape {list(spec.shape)} of {spec.name} must be [-1] or [-1, fixed sizes].")
    if signature.documents and {spec.datatype for spec in (*signature.inputs, *signature.outputs)} != {"BYTES"}:
        raise InvalidInput("The package's bailiwick.signature is one of documents, which are BYTES.")
    return signature
