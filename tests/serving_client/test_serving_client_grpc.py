"""Triton's and KServe's gRPC clients as they are installed from PyPI, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests_support.serving_client import Server, tell


def address(server: Server) -> str:
    return f"127.0.0.1:{server.worker.port + 1}"


def test_tritons_client_does_what_its_sample_programs_do(clients: Path, server: Server) -> None:
    found = tell(clients, "triton_grpc", address(server))
    assert found.pop("metadata") == [[name, "INT32", [-1, 16]] for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]
    assert found.pop("config") == [[name, 8, [16]] for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]  # TYPE_INT32
    assert found.pop("platform") == ["onnx_onnxv1", "onnxruntime_onnx", "onnxruntime", True]
    assert found.pop("infer") == [True] * 12
    assert found.pop("stream")[:2] == [19, True]
    for name, status, said in (
        ("unknown_model", "NOT_FOUND", "wrong_model_name"),
        ("unknown_version", "NOT_FOUND", "does not serve version '9'"),
        ("one_input", "INVALID_ARGUMENT", "lacks input INPUT1"),
        ("unknown_output", "INVALID_ARGUMENT", "'OUTPUT9' is not known"),
        ("unavailable", "UNAVAILABLE", "is unloaded"),
        ("load_unknown", "NOT_FOUND", "wrong_model_name"),
    ):
        got = found.pop(name)
        assert (got[0], said in got[1]) == (f"StatusCode.{status}", True), (name, got)
    assert found.pop("deadline") == "StatusCode.DEADLINE_EXCEEDED"
    assert found == dict.fromkeys(found, True)


def test_kserves_client_gets_what_it_sent_in_both_modes(clients: Path, server: Server) -> None:
    found = tell(clients, "kserve_grpc", address(server))
    assert found == {
        "live": True,
        "ready": True,
        "model_ready": True,
        "infer_False": [True, "r-1", "simple"],
        "infer_True": [True, "r-1", "simple"],
        "missing": "NOT_FOUND",
    }


def test_the_client_generated_from_the_protocol_gets_what_it_sent(clients: Path, server: Server) -> None:
    found = tell(clients, "generated_grpc", address(server))
    assert found == {
        "live": True,
        "ready": True,
        "model_ready": [True, True],
        "extensions": True,
        "metadata": [["2", "1"], {"key": "tail", "time": "at"}, [[-1, 1], [-1, 1]]],
        "contents": ["r-1", "1", True],
        "raw": ["r-1", "1", True],
        "typed": True,
        "missing": "NOT_FOUND",
    }
