"""What answers in place of a variant that fails: rules, a constant, the version before; from the control plane's records to
the prediction log, over both protocols, while the breaker opens, is tried, and closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bailiwick.core.actor import Actor
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import BreakerRule, Fallback, OutputValue, Policy, Variant
from bailiwick.endpoints.past import PastPredictions
from bailiwick.endpoints.recording import Pseudonyms
from bailiwick.endpoints.service import EndpointService
from bailiwick.rules.package import made_package
from bailiwick.rules.signature import Declared
from bailiwick.serving.messages.classes import message
from bailiwick.serving.shipper import Shipper
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records
from tests_support.decisions import encoded, scoring
from tests_support.serving import heavy_package
from tests_support.worker import Control, Worker

OPEN_SECONDS = 1
RULE = BreakerRule(percent=50, least=5, window_seconds=60, open_seconds=OPEN_SECONDS, probes=2)


class Told(NamedTuple):
    """What a client hears."""

    id: str
    version: str
    variant: str
    fallback: bool
    value: float


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    yield made
    made.close()


def over_http(worker: Worker) -> Callable[[float], Told]:
    def ask(x: float) -> Told:
        inputs = [
            {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
        ]
        status, answer = worker.call("POST", "/v2/models/late/infer", {"inputs": inputs})
        assert status == 200, answer
        parameters = answer["parameters"]
        return Told(
            answer["id"],
            answer["model_version"],
            parameters["variant"],
            parameters.get("fallback", False),
            answer["outputs"][0]["data"][0],
        )

    return ask


def over_grpc(worker: Worker) -> Callable[[float], Told]:
    grpc = pytest.importorskip("grpc")

    def ask(x: float) -> Told:
        sent = message("inference.ModelInferRequest")(model_name="late")
        sent.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(x)
        sent.inputs.add(name="carrier", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"AA")
        with grpc.insecure_channel(f"127.0.0.1:{worker.port + 1}") as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            answer = message("inference.ModelInferResponse").FromString(infer(sent.SerializeToString(), timeout=10))
        return Told(
            answer.id,
            answer.model_version,
            answer.parameters["variant"].string_param,
            answer.parameters["fallback"].bool_param,
            float(np.frombuffer(answer.raw_output_contents[0], "<f4")[0]),
        )

    return ask


def routed(control: Control, service: EndpointService, admin: Actor, fallback: Fallback) -> int:
    """Version 2, which fails on what is negative, after version 1, with a fallback; returns the revision."""
    for number, data in ((1, heavy_package(1)), (2, None)):
        variant = control.variant(number, data=data)
        service.deploy(admin, "late", model="late", version=number, package=variant.package)
    service.set_policy(admin, "late", Policy(fallbacks=(fallback,), breaker=RULE), reason="careful")
    with control.changed:
        control.table = service.route_table("default")
        control.changed.notify_all()
    return control.table.revision


def rules_variant(control: Control) -> Variant:
    """A version 7 of rules: 0.1 for what is asked here."""
    package, _, _ = made_package(encoded(scoring()), Declared({"x": "FP32"}))
    found = control.variant(7, 0, data=package)
    return Variant("rules", "lateness-rules", 7, found.package, 0)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("protocol", [over_http, over_grpc])
@pytest.mark.parametrize("kind", ["rules", "constant", "previous"])
def test_a_fallback_answers_while_the_breaker_opens_is_tried_and_closes(
    kind: str,
    protocol: Callable[[Worker], Callable[[float], Told]],
    control: Control,
    records: Records,
    admin: Actor,
    tmp_path: Path,
) -> None:
    fallback, named = {
        "rules": (Fallback(rules_variant(control)), ("7", "rules")),
        "constant": (Fallback(answer=(OutputValue("probability", 0.25),)), ("0", "constant")),
        "previous": (Fallback(previous=True), ("1", "v1")),
    }[kind]
    worker = Worker(tmp_path / "home", control.port)
    worker.wait_for(routed(control, EndpointService(records), admin, fallback))
    ask, answers = protocol(worker), []

    def answered(x: float) -> bool:
        """Whether the fallback did."""
        told = ask(x)
        answers.append(told)
        expected = {"rules": 0.1, "constant": 0.25, "previous": x}[kind] if told.fallback else 2010.0 + x
        assert (told.version, told.variant) == (named if told.fallback else ("2", "v2"))
        assert told.value == pytest.approx(expected)
        return told.fallback

    def breakers() -> dict[str, str]:
        found: dict[str, str] = worker.call("GET", "/v2/health/ready")[1]["breakers"]
        return found

    assert not answered(1.0)
    assert [answered(-1.0) for _ in range(4)] == [True] * 4
    assert breakers() == {"late: v2": "open"}
    assert answered(1.0)  # it could answer, and is not asked
    time.sleep(OPEN_SECONDS + 0.1)
    assert answered(-1.0)  # tried, and failed again
    assert breakers() == {"late: v2": "open"}
    time.sleep(OPEN_SECONDS + 0.1)
    assert not answered(1.0)
    assert breakers() == {"late: v2": "trying"}
    assert not answered(1.0)
    assert breakers() == {}
    assert answered(-1.0)
    assert not answered(1.0)
    worker.stop()
    check_records(tmp_path, answers, named, control.table.endpoints[0].epoch)


def check_records(folder: Path, answers: list[Told], named: tuple[str, str], epoch: int) -> None:
    """Each answer under whoever gave it; each failure under the variant and epoch that it is evidence about."""
    tables = DeltaTables(str(folder / "tables"))
    log = PredictionLog(tables, "default")
    Shipper(folder / "home" / "spool", log).ship()
    rows: list[dict[str, Any]] = log.predictions("late").to_pylist()
    given = {row["request_id"]: row for row in rows if row["status"] == 200}
    failed = {row["request_id"]: row for row in rows if row["status"] != 200}
    assert set(given) == {told.id for told in answers}
    assert set(failed) == {told.id for told in answers if told.fallback}
    for told in answers:
        row = given[told.id]
        assert (str(row["version"]), row["variant"]) == (told.version, told.variant)
        assert (row["epoch"] == 0) == told.fallback
        if told.fallback:
            before = failed[told.id]
            assert (before["version"], before["epoch"]) == (2, epoch)
            assert row["error"] == f"{named[1]} answers for v2: {before['error']}"
    reasons = [failed[told.id]["status"] for told in answers if told.fallback]
    assert reasons == [500] * 4 + [503] + [500] * 2
    past = PastPredictions(tables, log, Pseudonyms(b"k" * 32)).find(["late"], f"{answers[1].id}:0")
    assert (past.status, past.variant) == (200, named[1])
