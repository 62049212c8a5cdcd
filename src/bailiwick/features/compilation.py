"""Compiles fitted features to one lean ONNX graph: named inputs of shape [rows, 1], one output matrix `features/matrix`.

A graph of few nodes, because the cost of one row is the count of nodes: numbers are joined first and then imputed,
bounded and scaled together; each categorical column is one label encoder; everything is joined at the end.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bailiwick.core.canonical import canonical_json
from bailiwick.features.columns import MOMENTS, TEXTS
from bailiwick.features.derivation import derive
from bailiwick.features.model import CATEGORICAL, LIMIT, FittedFeature, FittedFeatures
from bailiwick.features.nodes import ML, RUNTIME, TEXTLESS_OPSET, Nodes

TEXT_OPSET = 20
"""The first with StringSplit; only a graph that cuts texts needs it."""
ML_OPSET = 3
IR_VERSION = 8
MATRIX = "features/matrix"


def compile_features(fitted: FittedFeatures) -> onnx.ModelProto:
    """The checked graph. Its metadata carry `bailiwick.features` (the digest) and `bailiwick.names` (of the columns)."""
    graph = _Graph(fitted.inputs)
    parts = graph.numeric([feature for feature in fitted.features if feature.transform not in CATEGORICAL])
    parts += graph.categorical([feature for feature in fitted.features if feature.transform in CATEGORICAL])
    parts += [derive(graph, feature) for feature in fitted.derived]
    if len(parts) == 1:
        graph.node("Identity", parts, MATRIX)
    else:
        graph.node("Concat", parts, MATRIX, axis=1)
    return _model(graph, fitted)


class _Graph(Nodes):
    """Numbers together, then categories together; every method returns the names of tensors it made."""

    def numeric(self, features: list[FittedFeature]) -> list[str]:
        """Impute, bound and scale all numbers at once, then log and bucketize their own blocks."""
        if not features:
            return []
        joined = self.join([self.number(feature.inputs[0][0]) for feature in features], "numbers")
        numbers = self._clean(joined, features)
        blocks: dict[str, list[FittedFeature]] = {"plain": [], "log": [], "bucketize": []}
        for feature in features:
            blocks[feature.transform if feature.transform in blocks else "plain"].append(feature)
        parts = self._split(numbers, {name: len(block) for name, block in blocks.items() if block})
        if "log" in parts:
            parts["log"] = self._log(parts["log"])
        if "bucketize" in parts:
            parts["bucketize"] = self._bucketize(parts["bucketize"], blocks["bucketize"])
        return list(parts.values())

    def _clean(self, numbers: str, features: list[FittedFeature]) -> str:
        fills = {"imputed_value_floats": [feature.fill for feature in features], "replaced_value_float": float("nan")}
        imputed = self.node("Imputer", [numbers], "features/imputed", domain=ML, **fills)
        bounded = self._bound(imputed, features)
        offsets = [feature.offset for feature in features]
        factors = [feature.factor for feature in features]
        if not any(offsets) and all(factor == 1.0 for factor in factors):
            return bounded
        return self.node("Scaler", [bounded], "features/scaled", domain=ML, offset=offsets, scale=factors)

    def _bound(self, imputed: str, features: list[FittedFeature]) -> str:
        ends = [np.array([getattr(feature, end) for feature in features], np.float32) for end in ("least", "most")]
        if not np.array_equal(np.abs(np.concatenate(ends)), np.full(2 * len(features), np.float32(LIMIT))):
            least, most = self.constant("least", ends[0]), self.constant("most", ends[1])
            return self.node("Min", [self.node("Max", [imputed, least], "features/raised"), most], "features/bounded")
        least, most = self.constant("least", np.float32(-LIMIT)), self.constant("most", np.float32(LIMIT))
        return self.node("Clip", [imputed, least, most], "features/bounded")

    def _split(self, numbers: str, widths: dict[str, int]) -> dict[str, str]:
        if len(widths) == 1:
            return dict.fromkeys(widths, numbers)
        names = {name: f"features/{name}" for name in widths}
        sizes = self.constant("widths", np.array(list(widths.values()), np.int64))
        self.nodes.append(
            helper.make_node("Split", [numbers, sizes], list(names.values()), name="features/Split", axis=1)
        )
        return names

    def _log(self, block: str) -> str:
        """log(1 + max(x, 0))."""
        kept = self.node("Max", [block, self.constant("zero", np.float32(0))], "features/kept")
        more = self.node("Add", [kept, self.constant("one", np.float32(1))], "features/more")
        return self.node("Log", [more], "features/logarithms")

    def _bucketize(self, block: str, features: list[FittedFeature]) -> str:
        """Count the edges at or below each number: compare with all edges of all columns at once, then sum by column."""
        owners = np.repeat(np.arange(len(features)), [len(feature.edges) for feature in features])
        edges = np.array([edge for feature in features for edge in feature.edges], np.float32)
        sums = (owners[:, None] == np.arange(len(features))[None, :]).astype(np.float32)
        repeated = self._spread(block, owners, "numbers")
        reached = self.node("GreaterOrEqual", [repeated, self.constant("edges", edges)], "features/reached")
        ones = self.node("Cast", [reached], "features/ones", to=TensorProto.FLOAT)
        return self.node("MatMul", [ones, self.constant("sums", sums)], "features/buckets")

    def _spread(self, block: str, owners: NDArray[np.int64], name: str) -> str:
        """Each column as often as it owns a constant; a single column is spread by the comparison itself."""
        if not owners.any():
            return block
        places = self.constant(f"owners_of_{name}", owners)
        return self.node("Gather", [block, places], f"features/spread_{name}", axis=1)

    def categorical(self, features: list[FittedFeature]) -> list[str]:
        """One label encoder a column; the one-hot columns then compare their codes with all codes there are, at once."""
        codes = {feature.column: self._encode(feature) for feature in features}
        one_hot = [feature for feature in features if feature.transform == "one_hot"]
        parts = [codes[feature.column] for feature in features if feature.transform == "category"]
        if one_hot:
            parts.append(self._one_hot([codes[feature.column] for feature in one_hot], one_hot))
        return parts

    def _encode(self, feature: FittedFeature) -> str:
        keys: list[str | float] = list(feature.categories)
        codes = [float(code) for code in range(1, len(keys) + 1)]
        text = feature.datatype == TEXTS
        if not keys:  # every value is rare: an encoder needs a key, and any key may have the code of all others
            keys, codes = ["" if text else 0.0], [0.0]
        attributes = {"keys_strings" if text else "keys_floats": keys, "values_floats": codes, "default_float": 0.0}
        name = f"features/code/{feature.column}"
        return self.node("LabelEncoder", [self._key(feature)], name, domain=ML, **attributes)

    def _key(self, feature: FittedFeature) -> str:
        column, datatype = feature.inputs[0]
        return column if datatype == TEXTS else self.number(column)

    def _one_hot(self, codes: list[str], features: list[FittedFeature]) -> str:
        """Each column is compared with all its codes: spreading them first, to compare once, takes ten times as long."""
        hits = []
        for place, (code, feature) in enumerate(zip(codes, features, strict=True)):
            wanted = self.constant(f"wanted{place}", np.arange(len(feature.categories) + 1, dtype=np.float32))
            hits.append(self.node("Equal", [code, wanted], f"features/hits{place}"))
        return self.node("Cast", [self.join(hits, "hits")], "features/one_hot", to=TensorProto.FLOAT)


_TYPES = {TEXTS: TensorProto.STRING, MOMENTS: TensorProto.DOUBLE}


def _model(graph: _Graph, fitted: FittedFeatures) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(column, _TYPES.get(datatype, TensorProto.FLOAT), [None, 1])
        for column, datatype in fitted.inputs.items()
    ]
    output = helper.make_tensor_value_info(MATRIX, TensorProto.FLOAT, [None, len(fitted.names)])
    opsets = [
        helper.make_opsetid("", TEXT_OPSET if graph.needs_texts else TEXTLESS_OPSET),
        helper.make_opsetid(ML, ML_OPSET),
        *([helper.make_opsetid(RUNTIME, 1)] if graph.needs_runtime else []),
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "features", inputs, [output], graph.constants, value_info=graph.declared),
        opset_imports=opsets,
        ir_version=IR_VERSION,
        producer_name="bailiwick",
    )
    names = canonical_json(list(fitted.names)).decode()
    helper.set_model_props(model, {"bailiwick.features": fitted.digest, "bailiwick.names": names})
    onnx.checker.check_model(model, full_check=True)
    return model
