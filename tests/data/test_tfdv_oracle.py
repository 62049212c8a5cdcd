"""Ours beside TFDV itself, run on the same random tables: statistics, schemas, anomalies, distances, relaxed schemas.

Each step of ours starts from what TFDV gave to the step before, so that one difference does not hide the next. Answers
on two small pairs of tables are kept in `tests/golden/tfdv/oracle`; the others are asked of the environment that
`tools/tfdv_oracle.py` makes, and skipped, or failed where `tfdv` is required, without it. To keep answers anew:

    PYTHONPATH=src:tests/support python tests/data/test_tfdv_oracle.py
"""

from __future__ import annotations

import base64
import json
import math
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from bailiwick.data.arrow_types import is_list
from bailiwick.data.schema.inference import Inference, infer_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.composites import add_composites
from bailiwick.data.statistics.crossing import add_correlations
from bailiwick.data.statistics.empties import add_empties
from bailiwick.data.statistics.language import add_language
from bailiwick.data.statistics.meaning import add_meanings
from bailiwick.data.statistics.view import serialise_path
from bailiwick.data.statistics.weighting import add_weights
from bailiwick.data.validation import Report, check, relax
from tests_support.postgres import required
from tests_support.source import ROOT

SMALL, SEEDS, TIGHT = (0, 3), (1, 2, *range(4, 28)), 2
PYTHON = ROOT / ".tfdv" / "bin" / "python"
KEPT = ROOT / "tests" / "golden" / "tfdv" / "oracle"
_TEXTS = ["", "a", "b", "é", "日本語", "🙂", "a b c", "'quoted'", "true", "1", " 7 ", "x" * 40]
COMPOSITES = """
sparse_feature { name: "s" value_feature { name: "ints" } index_feature { name: "tags" } index_feature { name: "pair" } }
weighted_feature { name: "w" feature { step: "tags" } weight_feature { step: "int" } }
weighted_feature { name: "x" feature { step: "ints" } weight_feature { step: "nowhere" } }
feature { name: "tags" type: BYTES natural_language_domain {
  coverage { min_coverage: 0.5 excluded_string_tokens: ["a"] oov_string_tokens: ["b"] }
  sequence_length_constraints { excluded_string_value: ["é"] }
  token_constraints { string_value: "a" } token_constraints { string_value: "nowhere" }
} }
"""
CROSSES = [["flag", "float"], ["float", "int"], ["flag", "int"], ["int", "strange"]]
_HOW = Inference(max_string_domain=20, share_domains=False)
_BUCKET_ERROR = 0.02
"""TFDV counts its buckets from a sketch of quantiles: shares of all values may be off by its error and rounding."""


# -- random tables ------------------------------------------------------------------------------------------------------


def _columns(rng: Any, n: int, moved: float) -> dict[str, Any]:
    """One column of every kind, a third of them with missing values. `moved` changes what some hold."""
    extremes = np.array([-(2**63), 2**63 - 1, 0, 1, -1, 2**53 + 1])
    strange = np.array([math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324])
    words = np.array(_TEXTS, dtype=object)
    many = np.array([f"w{i}" for i in range(60)], dtype=object)
    ones = rng.integers(0, 2, n)
    columns: dict[str, Any] = {
        "int": pa.array(rng.integers(-50, 50, n) + int(10 * moved)),
        "wide": pa.array(rng.choice(extremes, n)),
        "flag": pa.array(rng.integers(0, 2 + (moved > 0.5), n)),
        "bool": pa.array(ones.astype(bool)),
        "float": pa.array(rng.normal(moved, 1, n)),
        "tail": pa.array(rng.standard_cauchy(n)),
        "strange": pa.array(np.where(rng.random(n) < 0.1, rng.choice(strange[:4], n), rng.normal(size=n))),
        "nan": pa.array(np.full(n, math.nan)),
        "same": pa.array(np.full(n, 7.5)),
        "word": pa.array(rng.choice(words[: 6 + int(6 * moved)], n).tolist(), pa.string()),
        "many": pa.array(rng.choice(many, n).tolist(), pa.string()),
        "yes": pa.array(rng.choice(["true", "false"], n).tolist(), pa.string()),
        "number": pa.array([str(value) for value in rng.integers(-5, 5, n)], pa.string()),
        "time": pa.array(rng.integers(1_500_000_000, 1_600_000_000, n) * 1_000_000, pa.timestamp("us", "UTC")),
        "day": pa.array(rng.integers(0, 20_000, n).astype(np.int32), pa.int32()).cast(pa.date32()),
        "none": pa.nulls(n, pa.float64()),
        "said": pa.array([f"the plane of gate {value} was late" for value in rng.integers(0, 9, n)], pa.string()),
        "date": pa.array([f"2013-{value:02}-28" for value in rng.integers(1, 13, n)], pa.string()),
        "weight": pa.array(rng.choice([0.25, 0.5, 1.0, 3.0], n)),
        "ints": _lists(rng, n, lambda size: rng.integers(0, 9, size).tolist(), pa.int64(), 0),
        "pair": pa.array(rng.normal(size=(n, 2)).tolist(), pa.list_(pa.float64())),
        "tags": _lists(rng, n, lambda size: rng.choice(words[:5], size).tolist(), pa.string(), 1),
        "deep": pa.array([
            [rng.integers(0, 3, rng.integers(0, 3)).tolist() for _ in range(rng.integers(1, 3))] for _ in range(n)
        ], pa.list_(pa.list_(pa.int64()))),
    }  # fmt: skip
    for name in rng.choice([name for name in columns if name != "weight"], len(columns) // 3, replace=False):
        kept = pa.array(rng.random(n) > 0.2 * (1 + moved))
        columns[name] = pa.compute.if_else(kept, columns[name], pa.scalar(None, columns[name].type))
    return columns


def _lists(rng: Any, n: int, values: Any, kind: pa.DataType, least: int) -> pa.Array:
    return pa.array([values(int(rng.integers(least, 4))) for _ in range(n)], pa.list_(kind))


def _tables(seed: int) -> tuple[pa.Table, pa.Table]:
    """Two tables with the same columns, of which the second lacks one and has a new one."""
    rng = np.random.default_rng(seed)
    rows = [1, 2, 7, 40, 300, 2000][seed % 6]
    one = pa.table(_columns(rng, rows, 0.0))
    other = pa.table(_columns(rng, max(1, rows // (1 + seed % 2)), [0.0, 0.3, 1.0][seed % 3]))
    dropped = rng.choice([name for name in other.column_names if name not in {"int", "weight"}])
    return one, other.drop_columns([dropped]).append_column("new", pa.array(["x"] * other.num_rows))


def _as_tfdv(table: pa.Table) -> pa.Table:
    """TFDV's form: every column lists, whole numbers instead of moments and booleans."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int64())
        elif pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
        if not is_list(values.type):
            there = values.is_valid().to_numpy(zero_copy_only=False)
            offsets = pa.array([*range(len(values)), len(values)], pa.int32(), mask=np.append(~there, False))
            flat = values.drop_null()
            ends = np.concatenate([[0], np.cumsum(there)]).astype(np.int32)
            offsets = pa.array(ends, pa.int32(), mask=np.append(~there, False))
            values = pa.ListArray.from_arrays(offsets, flat)
        columns[name] = values
    table = pa.table(columns)
    return table.cast(pa.schema([(field.name, _with_bytes(field.type)) for field in table.schema]))


def _with_bytes(kind: pa.DataType) -> pa.DataType:
    """Text is bytes to TFDV."""
    if is_list(kind):
        return pa.list_(_with_bytes(kind.value_type))
    return pa.binary() if pa.types.is_string(kind) else kind


# -- random schemas -----------------------------------------------------------------------------------------------------


def _tightened(schema: Any, rng: Any) -> str:
    """The schema with rules of every kind in random places, as text; many of them do not hold, and some make no sense."""
    for feature in schema.feature:
        for rule in rng.choice(_RULES, 2, replace=False):
            rule(feature, rng)
    schema.dataset_constraints.min_examples_count = int(rng.integers(1, 500))
    return str(text_format.MessageToString(schema))


def _presence(feature: Any, rng: Any) -> None:
    feature.presence.min_fraction, feature.presence.min_count = float(rng.random()), int(rng.integers(1, 50))


def _values(feature: Any, rng: Any) -> None:
    feature.value_count.min, feature.value_count.max = int(rng.integers(0, 3)), int(rng.integers(1, 3))


def _shape(feature: Any, rng: Any) -> None:
    del feature.shape.dim[:]
    for _ in range(rng.integers(0, 3)):
        feature.shape.dim.add(size=int(rng.integers(1, 3)))


def _int_domain(feature: Any, rng: Any) -> None:
    if feature.name == "wide":
        return  # 2^63 - 1 is 2^63 in the statistics, which TFDV reads as -2^63
    feature.int_domain.min, feature.int_domain.max = int(rng.integers(-60, 2)), int(rng.integers(1, 60))


def _float_domain(feature: Any, rng: Any) -> None:
    domain = feature.float_domain
    domain.min, domain.max = float(rng.normal(-2)), float(rng.normal(2))
    domain.disallow_nan, domain.disallow_inf = bool(rng.integers(2)), bool(rng.integers(2))


def _string_domain(feature: Any, rng: Any) -> None:
    feature.string_domain.value.extend(rng.choice(_TEXTS, 4, replace=False).tolist())
    feature.distribution_constraints.min_domain_mass = float(rng.choice([0.2, 0.9, 1.0]))


def _bool_domain(feature: Any, rng: Any) -> None:
    if feature.name == "wide":
        return
    feature.bool_domain.SetInParent()
    if rng.integers(2):
        feature.bool_domain.true_value = "true"


def _unique(feature: Any, rng: Any) -> None:
    feature.unique_constraints.min, feature.unique_constraints.max = int(rng.integers(1, 9)), int(rng.integers(9, 40))


def _type(feature: Any, rng: Any) -> None:
    feature.type = int(rng.integers(1, 4))


def _stage(feature: Any, rng: Any) -> None:
    feature.lifecycle_stage = int(rng.integers(0, 7))


_RULES = [_presence, _values, _shape, _int_domain, _float_domain, _string_domain, _bool_domain, _unique, _type, _stage]


# -- the oracle ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What TFDV made of one pair of tables."""

    tables: tuple[pa.Table, pa.Table]
    schemas: list[str]
    texts: dict[str, str]

    def message(self, name: str, kind: Any) -> Any:
        return _parse(self.texts[name], kind)

    def statistics(self, name: str) -> Any:
        return self.message(name, statistics_pb2.DatasetFeatureStatisticsList)


def _parse(text: str, kind: Any) -> Any:
    return text_format.Parse(text, kind())


def _ask(folder: Path, seeds: Iterable[int]) -> dict[int, Told]:
    asked = {}
    for seed in seeds:
        tables = _tables(seed)
        statistics, rng = compute_statistics(tables[0]), np.random.default_rng(seed)
        schemas = [_tightened(infer_schema(statistics, _HOW), rng) for _ in range(TIGHT)]
        for name, table in zip(("one", "other"), tables, strict=True):
            (folder / f"{seed}-{name}.arrow").write_bytes(_written(_as_tfdv(table)))
        question = {
            "one": f"{seed}-one.arrow",
            "other": f"{seed}-other.arrow",
            "threshold": [0.0, 0.02, 0.2][seed % 3],
            "quantiles": bool(seed % 2),
            "schemas": schemas,
            "composites": COMPOSITES,
            "crosses": CROSSES,
        }
        (folder / f"{seed}.json").write_text(json.dumps(question), encoding="utf-8")
        asked[seed] = (tables, schemas)
    command = [str(PYTHON), str(ROOT / "tools" / "tfdv_oracle.py"), "--answer", str(folder)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return {
        seed: Told(tables, schemas, json.loads((folder / f"{seed}.told").read_text(encoding="utf-8")))
        for seed, (tables, schemas) in asked.items()
    }


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _kept(seed: int) -> Told:
    kept = json.loads((KEPT / f"{seed}.json").read_text(encoding="utf-8"))
    one, other = (pa.ipc.open_file(base64.b64decode(text)).read_all() for text in kept["tables"])
    return Told((one, other), kept["schemas"], kept["told"])


def _keep() -> None:
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for seed, told in _ask(Path(folder), SMALL).items():
            tables = [base64.b64encode(_written(table)).decode() for table in told.tables]
            kept = {"tables": tables, "schemas": told.schemas, "told": told.texts}
            (KEPT / f"{seed}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Told]:
    if not PYTHON.exists():
        if required("tfdv"):
            pytest.fail("TFDV is required here and is not installed: run tools/tfdv_oracle.py")
        pytest.skip("TFDV is not installed: run tools/tfdv_oracle.py")
    return _ask(tmp_path_factory.mktemp("tfdv"), SEEDS)


@pytest.fixture(params=[*SMALL, *SEEDS])
def told(request: pytest.FixtureRequest) -> Told:
    answer = _kept(request.param) if request.param in SMALL else request.getfixturevalue("live")[request.param]
    if "error" in answer.texts:
        pytest.fail(f"TFDV: {answer.texts['error']}")
    return answer


# -- the comparison -----------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_tfdv(told: Told) -> None:
    for table, name in zip(told.tables, ("one", "other"), strict=True):
        theirs = told.statistics(name).datasets[0]
        ours = compute_statistics(table).datasets[0]
        assert ours.num_examples == theirs.num_examples
        by_name = {feature.path.step[0]: feature for feature in theirs.features}
        assert [feature.path.step[0] for feature in ours.features] == list(table.column_names)
        assert set(by_name) == set(table.column_names)
        differences = [
            difference
            for feature in ours.features
            for difference in _differences(feature, by_name[feature.path.step[0]], feature.path.step[0])
        ]
        assert not differences


def test_statistics_of_sparse_and_weighted_features_are_those_of_tfdv(told: Told) -> None:
    theirs = told.statistics("composites").datasets[0]
    ours = statistics_pb2.DatasetFeatureStatistics()
    add_composites(ours, told.tables[1], _parse(COMPOSITES, schema_pb2.Schema))
    expected = {feature.path.step[0]: feature for feature in theirs.features if feature.path.step[0] in {"s", "w", "x"}}
    for feature in ours.features:
        assert feature.custom_stats == expected[feature.path.step[0]].custom_stats
    assert {feature.path.step[0] for feature in ours.features} == set(expected)


def test_weighted_statistics_are_those_of_tfdv(told: Told) -> None:
    theirs = {feature.path.step[0]: feature for feature in told.statistics("weighted").datasets[0].features}
    ours = compute_statistics(told.tables[1]).datasets[0]
    add_weights(ours, told.tables[1], "weight")
    assert ours.weighted_num_examples == pytest.approx(told.statistics("weighted").datasets[0].weighted_num_examples)
    nested = {"deep"}  # which row an inner value belongs to is not kept
    differences = [
        difference
        for feature in ours.features
        if feature.path.step[0] not in nested
        for difference in _differences(feature, theirs[feature.path.step[0]], feature.path.step[0])
    ]
    assert not differences


def test_correlations_are_those_of_tfdv(told: Told) -> None:
    table, ours = told.tables[1], statistics_pb2.DatasetFeatureStatistics()
    names = {name for pair in CROSSES for name in pair} & set(table.column_names)
    add_correlations(ours, table, sorted(names))
    found = {(cross.path_x.step[0], cross.path_y.step[0]): cross for cross in ours.cross_features}
    for cross in told.statistics("crossed").datasets[0].cross_features:
        mine = found[cross.path_x.step[0], cross.path_y.step[0]]
        if "strange" in (cross.path_x.step[0], cross.path_y.step[0]):
            continue  # with infinities TFDV's are NaN
        assert mine.count == cross.count
        assert mine.num_cross_stats.covariance == pytest.approx(cross.num_cross_stats.covariance, rel=1e-6, abs=1e-9)
        assert mine.num_cross_stats.correlation == pytest.approx(cross.num_cross_stats.correlation, rel=1e-6, abs=1e-7)


def test_statistics_of_language_are_those_of_tfdv(told: Told) -> None:
    ours = compute_statistics(told.tables[1]).datasets[0]
    add_language(ours, told.tables[1], _parse(COMPOSITES, schema_pb2.Schema))
    mine, theirs = (_language(dataset) for dataset in (ours, told.statistics("language").datasets[0]))
    if theirs is None or mine is None:
        assert theirs == mine
        return
    for told_of in (mine, theirs):  # TFDV's are in the order of a set
        tokens = sorted(told_of.token_statistics, key=lambda token: str(token.string_token))
        del told_of.token_statistics[:]
        told_of.token_statistics.extend(tokens)
    passing = {"reported_sequences", *_LENGTHS}
    if mine.min_sequence_length == 0:
        passing.add("min_sequence_length")  # TFDV takes a length of 0 for one that is not known yet
    assert [*_fields(mine, theirs, "tags", frozenset(passing))] == []
    for name in _LENGTHS:
        here, there = ([b.sample_count for b in getattr(each, name).buckets] for each in (mine, theirs))
        assert sum(here) == pytest.approx(sum(there))


_LENGTHS = ("token_length_histogram", "sequence_length_histogram")  # quantiles of a sketch


def _language(dataset: Any) -> Any | None:
    for feature in dataset.features:
        for stat in feature.custom_stats if feature.path.step[0] == "tags" else ():
            if stat.name == "nl_statistics":
                found = statistics_pb2.NaturalLanguageStatistics()
                stat.any.Unpack(found)
                return found
    return None


def test_empty_values_are_counted_as_by_tfdv(told: Told) -> None:
    ours = compute_statistics(told.tables[1]).datasets[0]
    add_empties(ours, told.tables[1])
    names = {"str_empty", "list_empty", "int_-1"}

    def counts(dataset: Any) -> dict[tuple[str, str], float]:
        return {
            (feature.path.step[0], stat.name): stat.num
            for feature in dataset.features
            for stat in feature.custom_stats
            if stat.name in names
        }

    assert counts(ours) == counts(told.statistics("empties").datasets[0])


def test_what_values_seem_to_mean_is_what_tfdv_says(told: Told) -> None:
    table = told.tables[1]
    ours = compute_statistics(table).datasets[0]
    add_meanings(ours, table)
    moments = {"time", "day"}  # here known by their type

    def guesses(dataset: Any) -> dict[str, str]:
        return {
            feature.path.step[0]: str(
                text_format.MessageToString(_parse(stat.str, schema_pb2.Feature), as_one_line=True)
            )
            for feature in dataset.features
            for stat in feature.custom_stats
            if stat.name == "domain_info" and stat.str and feature.path.step[0] not in moments
        }

    assert guesses(ours) == guesses(told.statistics("meanings").datasets[0])


def test_schemas_are_those_of_tfdv(told: Told) -> None:
    for name, shape in (("shapes", True), ("schema", False)):
        theirs = told.message(name, schema_pb2.Schema)
        for feature in theirs.feature:
            feature.ClearField("drift_comparator")
            feature.ClearField("skew_comparator")
        how = Inference(shape=shape, max_string_domain=20, share_domains=False)
        ours = infer_schema(told.statistics("one"), how)
        assert _differing(ours, theirs) == []


def test_anomalies_and_distances_are_those_of_tfdv(told: Told) -> None:
    theirs = told.message("anomalies", anomalies_pb2.Anomalies)
    one, other = _nan_as_tfdv(told.statistics("one"), told.statistics("other"))
    report = check(other, told.message("schema", schema_pb2.Schema), previous=one, serving=one)
    assert _kinds(report) == _kinds_of_tfdv(theirs)
    measured = {(one.path, one.against, one.kind): one.value for one in report.measurements}
    named = anomalies_pb2.DriftSkewInfo.Measurement.Type.Name
    expected = {
        (tuple(info.path.step), against, named(one.type)): one.value
        for info in theirs.drift_skew_info
        for against, values in (("drift", info.drift_measurements), ("skew", info.skew_measurements))
        for one in values
    }
    assert measured == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("place", range(TIGHT))
def test_anomalies_of_tight_schemas_are_those_of_tfdv_and_so_is_what_allows_the_data(told: Told, place: int) -> None:
    schema, statistics = _parse(told.schemas[place], schema_pb2.Schema), told.statistics("other")
    theirs = told.message(f"anomalies{place}", anomalies_pb2.Anomalies)
    assert _kinds(check(statistics, schema)) == _kinds_of_tfdv(theirs)
    relaxed, expected = relax(schema, statistics), told.message(f"relaxed{place}", schema_pb2.Schema)
    for proposed in (relaxed, expected):
        proposed.ClearField("dataset_constraints")  # ours relaxes these too
    assert _differing(relaxed, expected) == []


def _differing(ours: Any, theirs: Any) -> list[tuple[str, ...]]:
    """Features and domains in their order, where they are not the same."""
    parts = [[*schema.feature, *schema.string_domain] for schema in (ours, theirs)]
    texts = [[str(text_format.MessageToString(part, as_one_line=True)) for part in found] for found in parts]
    return [pair for pair in zip_longest(*texts, fillvalue="") if pair[0] != pair[1]]


def _kinds(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for anomaly in report.anomalies:
        found.setdefault(serialise_path(anomaly.path), []).append(anomaly.kind)
    return found


def _kinds_of_tfdv(anomalies: Any) -> dict[str, list[str]]:
    kind = anomalies_pb2.AnomalyInfo.Type.Name
    found = {name: [kind(one.type) for one in info.reason] for name, info in anomalies.anomaly_info.items()}
    if anomalies.HasField("dataset_anomaly_info"):
        found[""] = [kind(one.type) for one in anomalies.dataset_anomaly_info.reason]
    return found


def _nan_as_tfdv(one: Any, other: Any) -> tuple[Any, Any]:
    """Statistics without the NaN that TFDV forgets when it compares histograms whose boundaries differ."""
    pairs = {feature.path.step[0]: [feature] for feature in one.datasets[0].features}
    for feature in other.datasets[0].features:
        pairs.setdefault(feature.path.step[0], []).append(feature)
    for found in pairs.values():
        if len(found) == 2 and all(feature.HasField("num_stats") for feature in found):
            for here, there in zip(*(feature.num_stats.histograms for feature in found), strict=False):
                if _boundaries(here) != _boundaries(there):
                    here.num_nan = there.num_nan = 0
    return one, other


def _boundaries(histogram: Any) -> set[float]:
    proper = [b for b in histogram.buckets if b.low_value != b.high_value]
    return {edge for b in proper for edge in (b.low_value, b.high_value) if math.isfinite(edge)}


def test_relaxed_schemas_are_those_of_tfdv(told: Told) -> None:
    schema, theirs = (told.message(name, schema_pb2.Schema) for name in ("schema", "relaxed"))
    ours = relax(schema, told.statistics("other"))
    assert _differing(ours, theirs) == []


# How statistics are compared: every field of TFDV's message, exactly but for floating point, except …
_MOMENTS = frozenset(
    {"mean", "std_dev"}
)  # … with infinities, where ours are of the finite values and TFDV's are NaN and 0
_QUANTILES = frozenset({"histograms", "median", "num_values_histogram"})  # … those that TFDV reads off a sketch


def _differences(ours: Any, theirs: Any, name: str) -> Iterator[str]:
    which = theirs.WhichOneof("stats")
    if (ours.type, ours.WhichOneof("stats")) != (theirs.type, which):
        yield f"{name}: {ours.type} and {ours.WhichOneof('stats')}, theirs {theirs.type} and {which}"
        return
    mine, other = getattr(ours, which), getattr(theirs, which)
    infinite = which == "num_stats" and not (math.isfinite(other.min) and math.isfinite(other.max))
    yield from _fields(mine.common_stats, other.common_stats, f"{name}.common_stats")
    yield from _fields(mine, other, name, passing=_MOMENTS if infinite else frozenset())
    if which == "num_stats":
        yield from _histograms(mine, other, name)


def _fields(
    mine: Any, other: Any, name: str, passing: frozenset[str] = frozenset(), scale: float = 0.0
) -> Iterator[str]:
    if isinstance(other, statistics_pb2.NumericStatistics):
        scale = max(abs(other.min), abs(other.max))
    for field in other.DESCRIPTOR.fields:
        if field.name in _QUANTILES or field.name in passing or field.name == "common_stats":
            continue
        here, there = getattr(mine, field.name), getattr(other, field.name)
        if field.message_type is not None:
            pairs = zip(here, there, strict=False) if hasattr(there, "__len__") else [(here, there)]
            if hasattr(there, "__len__") and len(here) != len(there):
                yield f"{name}.{field.name}: {len(here)} entries, theirs {len(there)}"
            for place, (one, two) in enumerate(pairs):
                yield from _fields(one, two, f"{name}.{field.name}[{place}]", passing, scale)
        elif here != there and not (isinstance(there, float) and _close(here, there, scale)):
            yield f"{name}.{field.name}: {here}, theirs {there}"


def _close(here: float, there: float, scale: float) -> bool:
    """Equal to rounding, at the scale of what was summed."""
    return bool(
        here == pytest.approx(there, rel=1e-6, abs=1e-12 * scale if math.isfinite(scale) else None, nan_ok=True)
    )


def _histograms(mine: Any, other: Any, name: str) -> Iterator[str]:
    """NaN and infinities are counted exactly; below every edge of TFDV's there is, to its error, the same share."""
    kinds = [(histogram.type, histogram.num_nan) for histogram in mine.histograms]
    if kinds != [(histogram.type, histogram.num_nan) for histogram in other.histograms]:
        yield f"{name}: histograms {kinds} differ"
        return
    for here, there in zip(mine.histograms, other.histograms, strict=True):
        total = sum(bucket.sample_count for bucket in there.buckets)
        if sum(bucket.sample_count for bucket in here.buckets) != pytest.approx(total):
            yield f"{name}: histogram {here.type} has other totals"
        for edge in {bucket.high_value for bucket in there.buckets if math.isfinite(bucket.high_value)}:
            low, high = _below(here, edge)
            least, most = _below(there, edge)
            slack = _BUCKET_ERROR * total + 1.5
            if low > most + slack or high < least - slack:
                yield f"{name}: {low} to {high} below {edge}, theirs {least} to {most}, of {total}"


def _below(histogram: Any, edge: float) -> tuple[float, float]:
    """Least and most values that may be below an edge: those of the bucket that holds it may be on either side."""
    least = sum(bucket.sample_count for bucket in histogram.buckets if bucket.high_value < edge)
    most = sum(bucket.sample_count for bucket in histogram.buckets if bucket.low_value <= edge)
    return least, most


if __name__ == "__main__":
    _keep()
