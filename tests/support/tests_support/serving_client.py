"""Outside clients of inference, each story in a process of the environment that `tools/serving_clients.py` makes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from onnx import TensorProto, helper

from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from tests_support import postgres
from tests_support.echoes import KINDS, echo_package
from tests_support.serving import package_bytes
from tests_support.worker import Control, Worker

ROOT = Path(__file__).resolve().parents[3]
STORIES = ROOT / "tests" / "serving_client" / "stories"


def interpreter() -> Path:
    """The Python that has the clients. Skips, or fails where they are required, without one."""
    python = ROOT / ".serving" / "bin" / "python"
    if not python.exists():
        if postgres.required("serving"):
            pytest.fail("The clients of inference are required here: run tools/serving_clients.py")
        pytest.skip("The clients of inference are not installed: run tools/serving_clients.py")
    return python


def arithmetic(kind: str) -> bytes:
    """The models of Triton's sample programs: sum and difference of two rows of 16, as INT32, INT8 or texts."""
    names = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1")
    element = KINDS[kind]
    inner = [name if kind == "INT32" else f"{name}_whole" for name in (*names[0], *names[1])]
    nodes = [helper.make_node(verb, inner[:2], [out]) for verb, out in (("Add", inner[2]), ("Sub", inner[3]))]
    if kind == "BYTES":
        words, numbers = [str(number) for number in range(-64, 65)], list(range(-64, 65))
        there: dict[str, Any] = {"keys_strings": words, "values_int64s": numbers, "default_int64": 0}
        back: dict[str, Any] = {"keys_int64s": numbers, "values_strings": words, "default_string": ""}
        wrap = [(name, f"{name}_whole", there) for name in names[0]], [(f"{n}_whole", n, back) for n in names[1]]
        before, after = (
            [helper.make_node("LabelEncoder", [one], [two], domain="ai.onnx.ml", **how) for one, two, how in group]
            for group in wrap
        )
        nodes = [*before, *nodes, *after]
    if kind == "INT8":  # whose sums ONNX Runtime does not make
        before = [helper.make_node("Cast", [name], [f"{name}_whole"], to=TensorProto.INT32) for name in names[0]]
        after = [helper.make_node("Cast", [f"{name}_whole"], [name], to=element) for name in names[1]]
        nodes = [*before, *nodes, *after]
    inputs, outputs = ([helper.make_tensor_value_info(name, element, [None, 16]) for name in group] for group in names)
    model = helper.make_model(
        helper.make_graph(nodes, "arithmetic", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)],
    )
    model.ir_version = 8
    signature = {
        side: [{"name": name, "datatype": kind, "shape": [-1, 16]} for name in group]
        for side, group in zip(("inputs", "outputs"), names, strict=True)
    }
    helper.set_model_props(
        model, {"bailiwick.format": "1", "bailiwick.signature": msgspec.json.encode(signature).decode()}
    )
    return bytes(model.SerializeToString())


def samples() -> dict[str, list[bytes]]:
    """Versions of each endpoint, oldest first; those of `late` share its traffic."""
    return {
        "simple": [arithmetic("INT32")],
        "simple_string": [arithmetic("BYTES")],
        "simple_identity": [echo_package(("INPUT0", "BYTES", [16]), outputs=["OUTPUT0"])],
        "matrix": [echo_package(*((f"column_{place}", "FP32", [1]) for place in range(3)))],
        "halves": [echo_package(("x", "FP16", [4]), ("y", "BF16", [4]), ("z", "UINT64", [1]))],
        "late": [package_bytes(1), package_bytes(2)],
    }


class Server:
    """One worker that serves `samples`, and its control plane."""

    def __init__(self, home: Path, packages: dict[str, list[bytes]] | None = None, **options: Any) -> None:
        self.control = Control()
        endpoints = []
        for name, versions in (packages or samples()).items():
            variants = []
            for number, data in reversed(list(enumerate(versions, 1))):
                digest = hashlib.sha256(data).hexdigest()
                self.control.blobs[digest] = data
                variants.append(Variant(f"v{number}", name, number, digest, 10_000 // len(versions)))
            key, time = ("tail", "at") if name == "late" else ("", "")
            endpoints.append(Endpoint(name, "salt", 1, tuple(variants), key, time))
        self.control.table = RouteTable(1, 1, tuple(endpoints))
        self.worker = Worker(home, self.control.port, **options)
        self.worker.wait_for(1)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.worker.port}"

    def stop(self) -> None:
        """Both."""
        self.worker.stop()
        self.control.close()


def tell(python: Path, name: str, *arguments: str) -> Any:
    """Run a story; what it prints last is JSON."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    line = [str(python), str(STORIES / f"{name}.py"), *arguments]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-6000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])
