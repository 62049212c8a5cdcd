"""Triton's and KServe's clients, MLflow's scoring client and a fuzzer of OpenAPI, all as they are installed from PyPI."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests_support import mlflow_client
from tests_support.serving import package_bytes
from tests_support.serving_client import Server, tell


def test_tritons_client_does_what_its_sample_programs_do(clients: Path, server: Server) -> None:
    found = tell(clients, "triton", server.address)
    assert found.pop("metadata") == [[name, "INT32", [-1, 16]] for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]
    assert found.pop("config") == [[name, "TYPE_INT32", [16]] for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]
    assert {"binary_tensor_data", "statistics", "model_configuration"} <= set(found.pop("extensions"))
    assert found.pop("version_ready") == [True, False]
    assert ["late", "2"] in found["index"]
    assert ["simple", "1"] in found.pop("index")
    assert found.pop("infer") == [True] * 36
    assert found.pop("one_output") == "OUTPUT1"
    status, message = found.pop("unknown_model")
    assert status == "404"
    assert message.startswith("Request for unknown model")
    for name, status, said in (
        ("unknown_version", "404", "does not serve version '9'"),
        ("one_input", "400", "lacks input INPUT1"),
        ("unknown_output", "400", "'OUTPUT9' is not known"),
        ("classes", "400", "classification"),
        ("load_unknown", "404", "failed to load"),
    ):
        got = found.pop(name)
        assert (got[0], said in got[1]) == (status, True), (name, got)
    assert found == dict.fromkeys(found, True)


def test_kserves_client_gets_what_it_sent_in_both_modes(clients: Path, server: Server) -> None:
    found = tell(clients, "kserve_rest", server.address)  # which leaves out the version that it was told
    assert found == {
        "live": True,
        "ready": True,
        "model_ready": True,
        **{f"infer_{binary}": [True, "a b", "simple", None] for binary in (False, True)},
        **{f"matrix_{binary}": [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] for binary in (False, True)},
    }


def test_the_client_generated_from_openapi_gets_what_it_sent(clients: Path, server: Server) -> None:
    found = tell(clients, "generated_rest", server.address)
    assert found == {
        "server": ["triton", True],
        "metadata": ["simple", ["1"], ["INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1"]],
        "infer": [["r-1", "simple", "1"]] * 3,
        "right": [True] * 3,
        "matrix": [[0.5, 3.5], [1.5, 4.5], [2.5, 5.5]],
        "missing": 404,
        "one_input": 400,
    }


def fuzz(clients: Path, server: Server, *options: str) -> None:
    """Every check that there is, in every phase but sequences of calls."""
    line = [str(clients.parent / "schemathesis"), "run", f"http://{server.address}/openapi.json", "--no-color"]
    line += ["--checks", "all", "--phases", "examples,coverage,fuzzing", "--seed", "7", *options]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert server.worker.call("GET", "/v2/health/ready")[0] == 200


def test_a_fuzzer_finds_no_fault_in_what_is_described(clients: Path, server: Server) -> None:
    # That data must fill its shape is nothing that a schema can say: bodies of these forms may fit it and be refused.
    options = ["--include-path-regex", "/(infer|invocations)$", "--exclude-path-regex", "/late(/|$)", "-n", "8"]
    fuzz(clients, server, "--exclude-checks", "positive_data_acceptance", *options)


def test_a_row_is_answered_exactly_when_it_fits_its_description(clients: Path, server: Server) -> None:
    fuzz(clients, server, "-n", "15", "--exclude-path-regex", "/(infer|invocations)$|/predict/late$")


def test_mlflows_scoring_client_is_answered(tmp_path: Path) -> None:
    python = mlflow_client.interpreter("3")
    alone = Server(tmp_path, {"late": [package_bytes(1)]})
    try:
        found = tell(python, "mlflow_scoring", alone.address)
    finally:
        alone.stop()
    assert found["ping"]
    assert found["version"].count(".") == 2
    assert found["frame"] == [1011.0, 1022.5, None]
    assert found["arrays"] == [1011.0, None]
    assert found["tables"] == [[1011.0, 1022.5, None]] * 5
    assert "error code 400" in found["error"]
    assert (
        '{"error_code":"BAD_REQUEST","message":"The request lacks input carrier.","stack_trace":""}' in found["error"]
    )


def test_mlflows_own_scoring_server_answers_as_ours_does(tmp_path: Path) -> None:
    python = mlflow_client.interpreter("3")
    alone = Server(tmp_path, {"late": [package_bytes(1)]})
    try:
        found = tell(python, "mlflow_oracle", alone.address)
    finally:
        alone.stop()
    assert found["asked"] > 40
    # MLflow makes a text of a number, which hides mistakes, and asks a model for no rows, which most refuse.
    for name in ("records, number for a text", "split, no rows"):
        assert found["different"].pop(name)[:2] == [200, 400]
    assert found["different"] == {}
