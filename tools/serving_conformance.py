#!/usr/bin/env python3
"""Ask three servers the same questions, and print who answers what: ours, MLServer 1.7.1 and KServe 0.21.

    python tools/serving_conformance.py > docs/reference/serving-conformance.md

All serve one model, the sum and difference of two rows of 16 INT32, with the server's own way of making a model. Needs
`.venv` and `.serving` (`tools/serving_clients.py`), which has KServe; makes `.bench/mlserver` for MLServer.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]
MLSERVER = "mlserver==1.7.1"

Check = Callable[[dict[str, str], bytes], bool]


@dataclass(frozen=True)
class Question:
    """One request, the status that is right for it, and what must be true of the answer."""

    about: str
    path: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    right: Check = lambda _headers, _body: True


# -- the questions -------------------------------------------------------------------------------------------------------

FIRST, SECOND = list(range(16)), [1] * 16
ADDED, TAKEN = [value + 1 for value in FIRST], [value - 1 for value in FIRST]
INFER = "/v2/models/simple/infer"


def tensor(name: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """One input."""
    made = {"name": name, "datatype": "INT32", "shape": [1, 16], **more}
    return made if data is None else {**made, "data": data}


def request(first: Any = FIRST, **more: Any) -> bytes:
    """Both inputs in JSON, with an id, without which KServe answers nothing."""
    return json.dumps({"id": "q", "inputs": [tensor("INPUT0", first), tensor("INPUT1", SECOND)], **more}).encode()


def binary(size: int = 64, tail: bytes = b"", **more: Any) -> tuple[bytes, str]:
    """(body, length of the JSON): both inputs as bytes."""
    said = {"parameters": {"binary_data_size": size}}
    head = json.dumps({"id": "q", "inputs": [tensor("INPUT0", **said), tensor("INPUT1", **said)], **more}).encode()
    return head + struct.pack("<16i", *FIRST) + struct.pack("<16i", *SECOND) + tail, str(len(head))


def outputs(body: bytes) -> dict[str, Any]:
    """Values by name, flat."""
    found = {}
    for output in json.loads(body)["outputs"]:
        data = output["data"]
        found[output["name"]] = data[0] if data and isinstance(data[0], list) else data
    return found


def is_right(_: dict[str, str], body: bytes) -> bool:
    """Sum and difference, in JSON."""
    return outputs(body) == {"OUTPUT0": ADDED, "OUTPUT1": TAKEN}


def is_right_binary(headers: dict[str, str], body: bytes) -> bool:
    """Sum and difference, as bytes."""
    length = int(headers["inference-header-content-length"])
    names = [output["name"] for output in json.loads(body[:length])["outputs"]]
    values = struct.unpack("<32i", body[length:])
    return dict(zip(names, (list(values[:16]), list(values[16:])), strict=True)) == {"OUTPUT0": ADDED, "OUTPUT1": TAKEN}


def is_error(_: dict[str, str], body: bytes) -> bool:
    """`{"error": "…"}`."""
    said = json.loads(body)
    return list(said) == ["error"] and isinstance(said["error"], str) and bool(said["error"])


def has(**wanted: Any) -> Check:
    """The JSON has these values."""
    return lambda _, body: wanted.items() <= json.loads(body).items()


def holds(check: Callable[[Any], bool]) -> Check:
    """Something is true of the JSON."""
    return lambda _, body: check(json.loads(body))


def asking(about: str, path: str, right: Check, status: int = 200) -> Question:
    """A GET."""
    return Question(about, path, status, method="GET", right=right)


def refused(about: str, body: bytes = b"", status: int = 400, path: str = INFER, **headers: str) -> Question:
    """A request that must fail."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Question(about, path, status, body, named, right=is_error)


def good() -> list[Question]:
    """What must be answered."""
    sent, length = binary()
    sent_all, length_all = binary(parameters={"binary_data_output": True})
    stated = "Inference-Header-Content-Length"
    nested = request([FIRST])
    nameless = json.dumps({"inputs": [tensor("INPUT0", FIRST), tensor("INPUT1", SECOND)]}).encode()
    return [
        asking("server metadata", "/v2", holds(lambda said: {"name", "version", "extensions"} <= set(said))),
        asking("server metadata under `/v2/`", "/v2/", holds(lambda said: "extensions" in said)),
        asking("live, with a body that says so", "/v2/health/live", has(live=True)),
        asking("ready, with a body that says so", "/v2/health/ready", has(ready=True)),
        asking("model ready", "/v2/models/simple/ready", has(name="simple", ready=True)),
        asking("model metadata with versions", "/v2/models/simple", has(name="simple", versions=["1"])),
        asking("datatypes and shapes in metadata", "/v2/models/simple", holds(lambda said: said["inputs"][0]["datatype"] == "INT32")),
        asking("metadata of a version", "/v2/models/simple/versions/1", has(name="simple")),
        Question("infer, flat data", INFER, body=request(), right=is_right),
        Question("infer, nested data", INFER, body=nested, right=is_right),
        Question("infer without an id", INFER, body=nameless, right=is_right),
        Question("infer of a version", "/v2/models/simple/versions/1/infer", body=request(), right=is_right),
        Question("`id` comes back", INFER, body=request(id="a b"), right=has(id="a b")),
        Question("`model_version` in the answer", INFER, body=request(), right=has(model_version="1")),
        Question(
            "only the outputs that were asked for",
            INFER,
            body=request(outputs=[{"name": "OUTPUT1"}]),
            right=lambda _, body: outputs(body) == {"OUTPUT1": TAKEN},
        ),
        Question("binary inputs", INFER, body=sent, headers={stated: length}, right=is_right),
        Question("binary outputs", INFER, body=sent_all, headers={stated: length_all}, right=is_right_binary),
        Question("a gzip body", INFER, body=gzip.compress(request()), headers={"Content-Encoding": "gzip"}, right=is_right),
        asking("Triton's `config`", "/v2/models/simple/config", holds(lambda said: said["input"][0]["dims"] == [16])),
        asking("Triton's `stats`", "/v2/models/simple/stats", holds(lambda said: said["model_stats"][0]["inference_count"] > 0)),
        Question("repository index", "/v2/repository/index", body=b"{}", right=holds(lambda said: said[0]["name"] == "simple")),
    ]  # fmt: skip


def bad() -> list[Question]:
    """What must be refused, each by its status and `{"error": …}`."""
    sent, _ = binary()
    short, short_length = binary(size=60)
    trailing, trailing_length = binary(tail=b"1234")
    stated = "Inference_Header_Content_Length"
    one = json.dumps({"id": "q", "inputs": [tensor("INPUT0", FIRST)]}).encode()
    other = json.dumps(
        {"inputs": [tensor("INPUT0", FIRST), tensor("INPUT1", SECOND), tensor("INPUT2", SECOND)]}
    ).encode()
    wrong = json.dumps(
        {"id": "q", "inputs": [tensor("INPUT0", FIRST, datatype="FP64"), tensor("INPUT1", SECOND)]}
    ).encode()
    return [
        refused("unknown model", request(), 404, "/v2/models/other/infer"),
        refused("unknown version", request(), 404, "/v2/models/simple/versions/9/infer"),
        Question("GET of infer", INFER, 405, method="GET", right=is_error),
        Question("unknown path", "/v2/nothing", 404, method="GET", right=is_error),
        refused("malformed JSON", b'{"inputs": ['),
        refused("JSON that is no object", b"[]"),
        refused("no inputs", b"{}"),
        refused("an input is missing", one),
        refused("an input that the model does not have", other),
        refused("another datatype than the model's", wrong),
        refused("fewer values than the shape", request(FIRST[:15])),
        refused("nested data of uneven lengths", request([FIRST[:4], FIRST[4:]])),
        refused("a value out of range", request([2**31, *FIRST[1:]])),
        refused("a text where a number belongs", request(["x", *FIRST[1:]])),
        refused("null where a number belongs", request([None, *FIRST[1:]])),
        refused("an output that the model does not have", request(outputs=[{"name": "OUTPUT9"}])),
        refused("binary sizes below the body", short, **{stated: short_length}),
        refused("bytes after the last tensor", trailing, **{stated: trailing_length}),
        refused("a header length past the body", sent, **{stated: str(len(sent) + 1)}),
        refused("a header length that is no number", sent, **{stated: "x"}),
        refused("an unknown `Content-Encoding`", request(), 415, Content_Encoding="br"),
        refused("a gzip body that is cut short", gzip.compress(request())[:-9], Content_Encoding="gzip"),
    ]


# -- the servers ---------------------------------------------------------------------------------------------------------

MLSERVER_MODEL = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Simple(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        first, second = (NumpyCodec.decode_input(each) for each in payload.inputs[:2])
        made = {"OUTPUT0": first + second, "OUTPUT1": first - second}
        return InferenceResponse(model_name=self.name, model_version=self.version,
            outputs=[NumpyCodec.encode_output(name, values) for name, values in made.items()])
"""
KSERVE_MODEL = """
import sys
from kserve import InferOutput, InferResponse, Model, ModelServer

class Simple(Model):
    def __init__(self):
        super().__init__("simple")
        self.load()

    def load(self):
        self.ready = True
        return True

    async def get_input_types(self):
        return [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("INPUT0", "INPUT1")]

    async def get_output_types(self):
        return [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("OUTPUT0", "OUTPUT1")]

    async def predict(self, payload, headers=None, response_headers=None):
        first, second = (each.as_numpy() for each in payload.inputs[:2])
        made = {"OUTPUT0": first + second, "OUTPUT1": first - second}
        outputs = []
        for name, values in made.items():
            outputs.append(InferOutput(name, list(values.shape), "INT32"))
            outputs[-1].set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
        return InferResponse(response_id=payload.id, model_name="simple", infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs, requested_outputs=payload.request_outputs)

ModelServer(http_port=int(sys.argv[1]), enable_grpc=False).start([Simple()])
"""


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[int]:
    """One worker."""
    from tests_support.serving_client import Server, arithmetic

    server = Server(folder, {"simple": [arithmetic("INT32")]})
    try:
        yield server.worker.port
    finally:
        server.stop()


@contextlib.contextmanager
def mlserver(folder: Path, python: Path) -> Iterator[int]:
    """MLServer with a custom runtime, as its documentation has it."""
    port = free_port()
    described = [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("INPUT0", "INPUT1")]
    answered = [each | {"name": each["name"].replace("IN", "OUT")} for each in described]
    settings = {
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "host": "127.0.0.1",
        "parallel_workers": 0,
    }
    model = {
        "name": "simple",
        "implementation": "simple.Simple",
        "parameters": {"version": "1"},
        "versions": ["1"],
        "inputs": described,
        "outputs": answered,
    }
    (folder / "simple.py").write_text(MLSERVER_MODEL, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    with running([str(python.parent / "mlserver"), "start", str(folder)], folder, port):
        yield port


@contextlib.contextmanager
def kserve(folder: Path, python: Path) -> Iterator[int]:
    """KServe's ModelServer with a custom model, as its documentation has it."""
    port = free_port()
    (folder / "serve.py").write_text(KSERVE_MODEL, encoding="utf-8")
    with running([str(python), str(folder / "serve.py"), str(port)], folder, port):
        yield port


@contextlib.contextmanager
def running(line: list[str], folder: Path, port: int) -> Iterator[None]:
    """The process, once it is ready."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, cwd=folder, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text()[-3000:])
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if ask(port, Question("", "/v2/models/simple/ready", method="GET"))[0] == 200:
                        break
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(30)


# -- asking --------------------------------------------------------------------------------------------------------------


def ask(port: int, question: Question) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        as_bytes = any(name.lower() == "inference-header-content-length" for name in question.headers)
        kind = "application/octet-stream" if as_bytes else "application/json"
        headers = {"Content-Type": kind, **question.headers}
        connection.request(question.method, question.path, question.body or None, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def verdict(port: int, question: Question) -> str:
    """`yes`, or what came instead."""
    try:
        status, headers, body = ask(port, question)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})"
    try:
        right = question.right(headers, body)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error):
        right = False
    if status == question.status and right:
        return "yes"
    if status != question.status:
        return f"**{status}**"
    try:
        said = json.loads(body)
    except ValueError:
        return f"{status}, no JSON" if body else f"{status}, empty"
    return f"{status}, `detail`" if isinstance(said, dict) and "detail" in said else f"{status}, other body"


def environment(chosen: str | None) -> Path:
    """The Python that has MLServer."""
    if chosen:
        return Path(chosen).absolute()
    folder = ROOT / ".bench" / "mlserver"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=False, clear=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", MLSERVER], check=True
        )
        (folder / "done").touch()
    return python


def main() -> None:
    """Print the page."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--mlserver", help="a Python that has MLServer")
    options.add_argument("--kserve", default=str(ROOT / ".serving" / "bin" / "python"), help="a Python that has KServe")
    chosen = options.parse_args()
    groups = {"Answered": good(), 'Refused with the status and `{"error": …}`': bad()}
    columns: list[dict[str, str]] = []
    servers: list[Callable[[Path], contextlib.AbstractContextManager[int]]] = [
        ours,
        lambda folder: mlserver(folder, environment(chosen.mlserver)),
        lambda folder: kserve(folder, Path(chosen.kserve).absolute()),
    ]
    for start in servers:
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as port:
            columns.append({each.about: verdict(port, each) for group in groups.values() for each in group})
    print(page(groups, columns))


def page(groups: dict[str, list[Question]], columns: list[dict[str, str]]) -> str:
    """Markdown."""
    lines = [
        "# Conformance of inference servers",
        "",
        "The same requests to Bailiwick, MLServer 1.7.1 and KServe 0.21.0, each with a model that adds and subtracts two",
        "INT32 tensors `[-1, 16]`, written as that server's documentation has it. Made by `tools/serving_conformance.py`.",
        "`yes`: the status of the first column and a right body. Otherwise, what came instead. Where a peer leaves a check",
        "to the model's author, that model does not make it, as its examples do not.",
    ]
    for title, questions in groups.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| request | status | Bailiwick | MLServer | KServe |",
            "|---|---|---|---|---|",
        ]
        for each in questions:
            answers = " | ".join(column[each.about] for column in columns)
            lines.append(f"| {each.about} | {each.status} | {answers} |")
    total = sum(map(len, groups.values()))
    right = [sum(answer == "yes" for answer in column.values()) for column in columns]
    lines += ["", f"Right of {total}: Bailiwick {right[0]}, MLServer {right[1]}, KServe {right[2]}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
