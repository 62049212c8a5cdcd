"""Write `tests/golden/tfdv/*.json` from the tests of TFDV itself: what goes in, which anomalies and schemas come out.

    python tools/tfdv_cases.py GIT_DIRECTORY

The directory is a clone of github.com/tensorflow/data-validation (bare will do). Only facts are kept: messages in text
format, kinds and severities of anomalies, numbers; no description and no code. The commit is named in each file.
Python tests are run against a recorder in place of TFDV; C++ tests are read, and what is not understood is counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "tfdv"
_FOLDER = "tensorflow_data_validation"
_CPP = ("schema_anomalies_test.cc", "feature_statistics_validator_test.cc", "schema_test.cc")

Case = dict[str, Any]


def main() -> None:
    """Write one file a source."""
    repository = sys.argv[1]
    commit = _git(repository, "rev-parse", "HEAD").strip()
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in _CPP:
        source = f"{_FOLDER}/anomalies/{name}"
        cases = list(_cpp_cases(_git(repository, "show", f"HEAD:{source}")))
        _write(name.removesuffix("_test.cc"), source, commit, cases)
    source = f"{_FOLDER}/api/validation_api_test.py"
    _write("validation_api", source, commit, _python_cases(_git(repository, "show", f"HEAD:{source}")))
    source = f"{_FOLDER}/anomalies/metrics_test.cc"
    _write("metrics", source, commit, list(_metric_cases(_git(repository, "show", f"HEAD:{source}"))))


def _git(repository: str, *arguments: str) -> str:
    command = ["git", "-C", repository, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _write(name: str, source: str, commit: str, cases: list[Case]) -> None:
    for number, case in enumerate(cases):
        case["id"] = f"{number:03}-{case['test']}"
    origin = {"repository": "github.com/tensorflow/data-validation", "path": source, "commit": commit}
    text = json.dumps({"source": origin, "cases": cases}, indent=1, ensure_ascii=False)
    (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(cases)} cases")


def _text(message: Any) -> str:
    return str(text_format.MessageToString(message, as_one_line=True))


def _parse(text: str, kind: type[Any]) -> Any:
    return text_format.Parse(text, kind())


def _normal(text: str, kind: type[Any]) -> str:
    return _text(_parse(text, kind))


def _expected(infos: dict[str, Any]) -> dict[str, Any]:
    severity = anomalies_pb2.AnomalyInfo.Severity.Name
    kind = anomalies_pb2.AnomalyInfo.Type.Name
    return {
        name: {"severity": severity(info.severity), "reasons": [kind(reason.type) for reason in info.reason]}
        for name, info in infos.items()
    }


def _drift(infos: Any) -> list[Case]:
    kind = anomalies_pb2.DriftSkewInfo.Measurement.Type.Name
    return [
        {"path": list(info.path.step), "against": against, "kind": kind(one.type), "value": one.value,
         "threshold": one.threshold}
        for info in infos
        for against, found in (("drift", info.drift_measurements), ("skew", info.skew_measurements))
        for one in found
    ]  # fmt: skip


# C++ ----------------------------------------------------------------------------------------------------------------


class _Block:
    """One TEST: its statements, with raw strings taken out, and the messages that its variables hold."""

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self.raw: list[str] = []
        body = re.sub(r'R"(\w*)\((.*?)\)\1"', self._keep, body, flags=re.DOTALL)
        body = re.sub(r"//[^\n]*", "", body)
        self.body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
        self.texts: dict[str, str] = {}
        self.views: dict[str, str] = {}
        self.expected: dict[str, dict[str, Any]] = {}

    def _keep(self, match: re.Match[str]) -> str:
        self.raw.append(match.group(2))
        return f"@{len(self.raw) - 1}@"

    def text(self, expression: str) -> str | None:
        """The text of a message: a raw string, a short literal, a variable or an empty one; None if not understood."""
        expression = expression.strip()
        found = re.search(r"@(\d+)@", expression)
        if found:
            return self.raw[int(found.group(1))]
        found = re.search(r'ParseTextProtoOrDie<[^>]*>\(\s*"(.*)"\s*\)', expression, re.DOTALL)
        if found:
            return re.sub(r'"\s*"', "", found.group(1))
        if re.fullmatch(r"\w+\(\)", expression):
            return ""
        name = expression.split("::")[-1].removeprefix("*")
        return self.texts.get(self.views.get(name, name))

    def view(self, expression: str) -> str | None:
        """The text of the statistics behind a view."""
        found = re.search(r"DatasetStatsView\(\s*(\w+)", expression)
        return self.text(found.group(1) if found else expression)


def _cpp_cases(source: str) -> Iterator[Case]:
    blocks = re.split(r"\nTEST\(", source)[1:]
    for text in blocks:
        title = re.match(r"\s*(\w+),\s*(\w+)\)", text)
        assert title is not None
        block = _Block(f"{title.group(1)}.{title.group(2)}", text)
        try:
            cases = [case for statement in block.body.split(";") for case in _statement(block, statement)]
        except text_format.ParseError as error:
            # fields that only Google's own copy of the messages has
            print(f"not public: {block.name} ({error})")
            continue
        yield from cases


def _statement(block: _Block, statement: str) -> Iterator[Case]:
    message = re.search(r"(\w+) =\s*(?:testing::)?ParseTextProtoOrDie<", statement)
    anomaly = re.search(r'(\w+)\["([^"]*)"\]\s*\.(\w+)(?:\s*=|\.set_severity)', statement)
    view = re.search(r"DatasetStatsView>?\s+(\w+)(?:\s*=\s*(?:\w|:|<|>)*DatasetStatsView|)\(\s*(\w+)", statement)
    made = re.search(r"> (\w+) =\s*std::make_shared<DatasetStatsView>\(\s*(\w+)", statement)
    if anomaly:
        _note_expected(block, statement, *anomaly.groups())
    elif message and "TestFind" not in statement:
        text = block.text(statement)
        if text is not None:
            block.texts[message.group(1)] = text
    elif view or made:
        found = made or view
        assert found is not None
        block.views[found.group(1)] = found.group(2)
    empty = re.search(r"[\s:]Schema (\w+)\s*$", statement)
    if empty:
        block.texts[empty.group(1)] = ""
    call = re.search(r"(TestFindChanges|TestFeatureStatisticsValidator|TestSchemaUpdate)\((.*)\)", statement, re.DOTALL)
    if call:
        yield from _CALLS[call.group(1)](block, _arguments(call.group(2)))
    yield from _schema_update(block, statement)
    if "TestAnomalies(skew.GetSchemaDiff" in statement:
        yield _skew_case(block)


def _note_expected(block: _Block, statement: str, variable: str, name: str, field: str) -> None:
    infos = block.expected.setdefault(variable, {})
    if field == "expected_info_without_diff" and "set_severity" in statement:
        severity = "WARNING" if "WARNING" in statement else "ERROR"
        infos[name].severity = anomalies_pb2.AnomalyInfo.Severity.Value(severity)
    elif field == "expected_info_without_diff":
        infos[name] = _parse(block.text(statement) or "", anomalies_pb2.AnomalyInfo)


def _arguments(text: str) -> list[str]:
    depth, start, found = 0, 0, []
    for i, character in enumerate(text):
        if character in "([{<":
            depth += 1
        elif character in ")]}>":
            depth -= 1
        elif character == "," and depth == 0:
            found.append(text[start:i].strip())
            start = i + 1
    return [*found, text[start:].strip()]


def _severities(config: str) -> dict[str, str]:
    severities = dict(re.findall(r"type:\s*(\w+)\s+severity:\s*(\w+)", config))
    return {"SCHEMA_NEW_COLUMN": "WARNING", **severities} if "warnings: true" in config else severities


def _find_changes(block: _Block, arguments: list[str]) -> Iterator[Case]:
    schema, statistics, config, expected = arguments
    texts = block.text(schema), block.view(statistics)
    if None in texts:
        print(f"not understood: {block.name}")
        return
    yield {
        "test": block.name,
        "verb": "check_view",
        "schema": _normal(texts[0] or "", schema_pb2.Schema),
        "statistics": _normal(texts[1] or "", statistics_pb2.DatasetFeatureStatistics),
        "severities": _severities(block.text(config) or ""),
        "expected": _expected(block.expected.get(expected, {})),
    }


def _validator(block: _Block, arguments: list[str]) -> Iterator[Case]:
    schema, config, statistics, previous, version, environment, needed, expected, _, drift = arguments
    case: Case = {
        "test": block.name,
        "verb": "check",
        "schema": _normal(block.text(schema) or "", schema_pb2.Schema),
        "statistics": _normal(block.text(statistics) or "", statistics_pb2.DatasetFeatureStatistics),
        "severities": _severities(block.text(config) or ""),
        "expected": _expected(block.expected.get(expected, {})),
        "drift": _drift(
            _parse(block.raw[int(number)], anomalies_pb2.DriftSkewInfo) for number in re.findall(r"@(\d+)@", drift)
        ),
    }
    for name, argument in (("previous", previous), ("previous_version", version)):
        if "nullopt" not in argument:
            case[name] = _normal(block.text(argument) or "", statistics_pb2.DatasetFeatureStatistics)
    if '"' in environment:
        case["environment"] = environment.strip('"')
    if "nullopt" not in needed:
        case["only_new"] = [[step] for step in re.findall(r'Path\(\{"([^"]*)"\}\)', needed)]
    yield case


def _schema_case(block: _Block, verb: str, schema: str, statistics: str, want: str, config: str) -> Case:
    return {
        "test": block.name,
        "verb": verb,
        "schema": _normal(schema, schema_pb2.Schema),
        "statistics": _normal(statistics, statistics_pb2.DatasetFeatureStatistics),
        "config": " ".join(config.split()),
        "schema_after": _normal(want, schema_pb2.Schema),
    }


def _test_schema_update(block: _Block, arguments: list[str]) -> Iterator[Case]:
    _, statistics, schema, want = arguments
    texts = [block.text(argument) for argument in (schema, statistics, want)]
    if None not in texts:
        yield _schema_case(block, "update", texts[0] or "", texts[1] or "", texts[2] or "", "")


def _schema_update(block: _Block, statement: str) -> Iterator[Case]:
    """`schema.Init(x)`, then `schema.Update(view, config)`, then `EqualsProto(want)`: one case."""
    init = re.search(r"schema\.Init\(\s*(.*?)\s*\)\s*\)", statement, re.DOTALL)
    if init:
        block.texts["%before"] = block.text(init.group(1)) or ""
        block.texts.pop("%after", None)
    shape = re.search(r"(\w+)\.set_infer_feature_shape\(true\)", statement)
    if shape:
        block.texts[shape.group(1)] = block.texts.get(shape.group(1), "") + " infer_feature_shape: true"
    update = re.search(r"schema\.Update\((.*)\)\)", statement, re.DOTALL)
    if update:
        arguments = _arguments(update.group(1))
        found = block.view(arguments[0])
        if found is not None and len(arguments) == 2 and "legacy" not in block.body:
            block.texts["%after"] = found
            block.texts["%config"] = block.text(arguments[1]) or ""
    wanted = re.search(
        r"EXPECT_THAT\((?:actual|result|schema\.GetSchema\(\)),\s*EqualsProto\((.*)\)\)", statement, re.DOTALL
    )
    if wanted and "%after" in block.texts:
        want = block.text(wanted.group(1))
        if want is not None:
            texts = block.texts
            yield _schema_case(block, "update", texts.get("%before", ""), texts["%after"], want, texts["%config"])
        block.texts.pop("%after")


def _skew_case(block: _Block) -> Case:
    def dataset(name: str) -> str:
        # these tests build the dataset around one feature
        features = [raw for raw in block.raw if "name: 'foo'" in raw and "stats" in raw]
        stats = _parse(features[0 if name == "training" else 1], statistics_pb2.FeatureNameStatistics)
        return _text(statistics_pb2.DatasetFeatureStatistics(num_examples=10, features=[stats]))

    return {
        "test": block.name,
        "verb": "check_view",
        "schema": _normal(block.texts["schema_proto"], schema_pb2.Schema),
        "statistics": dataset("training"),
        "serving": dataset("serving"),
        "severities": {},
        "only_skew": True,
        "expected": _expected(block.expected.get("expected_anomalies", {})),
        "drift": _drift(_parse(raw, anomalies_pb2.DriftSkewInfo) for raw in block.raw if "skew_measurements" in raw),
    }


_CALLS: dict[str, Callable[[_Block, list[str]], Iterator[Case]]] = {
    "TestFindChanges": _find_changes,
    "TestFeatureStatisticsValidator": _validator,
    "TestSchemaUpdate": _test_schema_update,
}


def _metric_cases(source: str) -> Iterator[Case]:
    for text in re.split(r"\nTEST\(", source)[1:]:
        title = re.match(r"\s*(\w+),\s*(\w+)\)", text)
        assert title is not None
        block = _Block(f"{title.group(1)}.{title.group(2)}", text)
        datasets: dict[str, str] = {}
        for statement in block.body.split(";"):
            made = re.search(r"DatasetForTesting (\w+)\(.*?@(\d+)@", statement, re.DOTALL)
            if made:
                stats = block.raw[int(made.group(2))]
                datasets[made.group(1)] = _normal(stats, statistics_pb2.FeatureNameStatistics)
            call = re.search(
                r"JensenShannonDivergence\(\s*(\w+)\.\w+\(\),\s*(\w+)\.\w+\(\),\s*(\w+)\(\)", statement, re.DOTALL
            )
            if call and call.group(1) in datasets and call.group(2) in datasets:
                pending = {
                    "test": block.name,
                    "one": datasets[call.group(1)],
                    "other": datasets[call.group(2)],
                    "histogram": call.group(3).upper(),
                }
            number = re.search(r"EXPECT_NEAR\(result,\s*([\d.]+),", statement)
            if number:
                yield {**pending, "value": float(number.group(1))}
            if "IsInvalidArgument" in statement:
                yield {**pending, "value": None}


# Python ---------------------------------------------------------------------------------------------------------------


_CHANGED_WITHIN = {"test_update_schema", "test_update_schema_multiple_datasets_with_default_slice"}
"""Tests that go on with what TFDV gave them: only their first case stands by itself."""
_WITH_CODE = {"test_infer_schema_with_transformations"}
"""Tests of code that is handed over, which nothing here has a place for."""


class _Recorder:
    """Stands for `validation_api`: keeps what it is called with."""

    def __init__(self) -> None:
        self.call: Case = {}
        self.validated: Case = {}

    def validate_statistics(self, statistics: Any, schema: Any, environment: str = "", **others: Any) -> Any:
        self.call = {"verb": "validate", "schema": _text(schema), "statistics": _text(statistics)}
        if environment:
            self.call["environment"] = environment
        options = others.pop("validation_options", {})
        if options.get("features_needed"):
            self.call["only_new"] = [list(path) for path in options["features_needed"]]
        if options.get("new_features_are_warnings"):
            self.call["severities"] = {"SCHEMA_NEW_COLUMN": "WARNING"}
        for name, value in others.items():
            key = name.replace("_span", "").removesuffix("_statistics")
            self.call[key] = _text(value) if hasattr(value, "DESCRIPTOR") else repr(value)
        self.validated = self.call
        return anomalies_pb2.Anomalies()

    validate_statistics_internal = validate_statistics

    def infer_schema(self, statistics: Any, **how: Any) -> Any:
        how = {name: value for name, value in how.items() if name != "schema_transformations"}
        self.call = {"verb": "infer", "schema": "", "statistics": _text(statistics), "how": how}
        return schema_pb2.Schema()

    def update_schema(self, schema: Any, statistics: Any, **how: Any) -> Any:
        self.call = {"verb": "update", "schema": _text(schema), "statistics": _text(statistics), "how": how}
        return schema_pb2.Schema()

    def _may_be_set_legacy_flag(self, schema: Any) -> None:
        pass


def _python_cases(source: str) -> list[Case]:
    recorder = _Recorder()
    module = types.ModuleType("recorded")
    module.__dict__["__name__"] = "recorded"
    _stand_in(recorder)
    exec(compile(source, "validation_api_test.py", "exec"), module.__dict__)  # noqa: S102 - TFDV's own tests, on purpose
    cases: list[Case] = []
    for suite in (module.__dict__["ValidationApiTest"], module.__dict__["NLValidationTest"]):
        for name in unittest.TestLoader().getTestCaseNames(suite):
            if name not in _WITH_CODE:
                _record(suite(name), name, recorder, cases)
    return cases


def _record(test: Any, name: str, recorder: _Recorder, cases: list[Case]) -> None:
    def keep(**expected: Any) -> None:
        once = name in _CHANGED_WITHIN and any(case["test"] == name for case in cases)
        if recorder.call and not once:
            cases.append({"test": name, **recorder.call, **expected})
            recorder.call = {}

    def anomalies(_: Any, expected: dict[str, Any]) -> None:
        keep(expected=_expected(expected))

    def drift(_: Any, expected: list[str]) -> None:
        found = _drift(_parse(text, anomalies_pb2.DriftSkewInfo) for text in expected)
        (recorder.call or cases[-1])["drift"] = found

    def equal(_: Any, expected: Any) -> None:
        if isinstance(expected, schema_pb2.Schema):
            keep(schema_after=_text(expected))

    def kinds(one: set[int], other: set[int]) -> None:
        expected = one | other  # what the recorder answered is empty, on whichever side it is
        recorder.call = recorder.validated
        keep(kinds=sorted(anomalies_pb2.AnomalyInfo.Type.Name(kind) for kind in expected))

    answers = {
        "_assert_equal_anomalies": anomalies,
        "_assert_drift_skew_info": drift,
        "assertEqual": equal,
        "assertSetEqual": kinds,
    }
    test.__dict__.update(answers)
    try:
        getattr(test, name)()
    except Exception as error:  # noqa: BLE001 - whatever a test of something else needs is not here: say so, go on
        print(f"not recorded: {name} ({type(error).__name__})")
    recorder.call = {}


def _stand_in(recorder: _Recorder) -> None:
    """Modules that TFDV's tests import, as far as they are not here."""
    for name in ("apache_beam", "apache_beam.testing", "tensorflow", "tensorflow.python", "tensorflow.python.util",
                 "tensorflow.python.util.protobuf", "pandas", "pyarrow", "tensorflow_data_validation",
                 "tensorflow_data_validation.api", "tensorflow_data_validation.skew",
                 "tensorflow_data_validation.skew.protos", "tensorflow_data_validation.statistics",
                 "tensorflow_data_validation.utils", "tensorflow_data_validation.types"):  # fmt: skip
        sys.modules[name] = MagicMock()
    api: Any = sys.modules["tensorflow_data_validation.api"]
    api.validation_api = recorder
    api.validation_options.ValidationOptions = lambda **options: options
    kinds: Any = sys.modules["tensorflow_data_validation.types"]
    kinds.FeaturePath = tuple


if __name__ == "__main__":
    main()
