#!/usr/bin/env python3
"""Run the sample programs of Triton's Python client, and its load tool, against an inference worker of ours.

    python tools/triton_samples.py CHECKOUT PYTHON [--perf-analyzer PATH]

CHECKOUT is a clone of triton-inference-server/client, PYTHON one that has tritonclient (`.serving/bin/python`), PATH the
`perf_analyzer` of a wheel of tritonclient up to 2.59, with what it needs in LD_LIBRARY_PATH. Prints a table; ends with 1
when a program fails that is not in `NOT_OFFERED`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]
EXAMPLES = Path("src") / "python" / "examples"

PROGRAMS: dict[str, list[str]] = {
    "simple_http_infer_client": [],
    "simple_http_infer_client, gzip": ["--request-compression-algorithm", "gzip"],
    "simple_http_infer_client, deflate": ["--response-compression-algorithm", "deflate"],
    "simple_http_async_infer_client": [],
    "simple_http_aio_infer_client": [],
    "simple_http_string_infer_client": [],
    "simple_http_health_metadata": [],
    "simple_grpc_infer_client": [],
    "simple_grpc_infer_client, gzip": ["-C", "gzip"],
    "simple_grpc_async_infer_client": [],
    "simple_grpc_aio_infer_client": [],
    "simple_grpc_string_infer_client": [],
    "simple_grpc_health_metadata": [],
    "simple_grpc_keepalive_client": [],
    "simple_grpc_custom_args_client": [],
    "grpc_explicit_int_content_client": [],
    "grpc_explicit_int8_content_client": [],
    "grpc_explicit_byte_content_client": [],
    "grpc_client": [],
}
"""Each with its arguments; after a comma, what is particular about a run."""

NOT_OFFERED = {
    "simple_http_model_control": "it overrides a model's configuration by `load`; what is served is what was deployed",
    "simple_grpc_model_control": "the same",
    "reuse_infer_objects_client, simple_*_shm_*, simple_*_cudashm_client": "shared memory between client and server",
    "simple_*_sequence_*": "models that remember earlier requests of a sequence",
    "simple_grpc_custom_repeat": "models that give several answers to one request",
    "image_client, grpc_image_client, ensemble_image_client": "they need a network for images, and pictures",
}
"""What these do, which is no part of serving here."""

LOADS = {
    "perf_analyzer, HTTP": ["-i", "http"],
    "perf_analyzer, HTTP, 4 at once": ["-i", "http", "--concurrency-range", "4"],
    "perf_analyzer, HTTP, texts": ["-i", "http", "-m", "simple_string", "--string-data", "7"],
    "perf_analyzer, gRPC": ["-i", "grpc"],
    "perf_analyzer, gRPC, 4 at once": ["-i", "grpc", "--concurrency-range", "4"],
    "perf_analyzer, gRPC, a batch of 8": ["-i", "grpc", "-b", "8"],
}


def main() -> int:
    """Everything, against one worker."""
    from tests_support.echoes import echo_package
    from tests_support.serving_client import Server, arithmetic, samples

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("python")
    parser.add_argument("--perf-analyzer", default="")
    arguments = parser.parse_args()
    models = {
        **samples(),
        "simple_int8": [arithmetic("INT8")],
        "densenet_onnx": [echo_package(("data_0", "FP32", [224, 224]), outputs=["fc6_1"])],
    }
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home), models, server_name="triton", repository_control=True)
        try:
            found = {name: program(arguments, server.worker.port, name) for name in PROGRAMS}
            if arguments.perf_analyzer:
                found |= {name: load(arguments.perf_analyzer, server.worker.port, name) for name in LOADS}
        finally:
            server.stop()
    print("| program | |\n|---|---|")
    for name, said in found.items():
        print(f"| `{name.partition(',')[0]}`{name[len(name.partition(',')[0]) :]} | {said or 'passes'} |")
    for name, reason in NOT_OFFERED.items():
        print(f"| `{name.replace(', ', '`, `')}` | not offered: {reason} |")
    return 1 if any(said.startswith("FAILS") for said in found.values()) else 0


def program(arguments: argparse.Namespace, port: int, name: str) -> str:
    """Empty when it ends well."""
    file = arguments.checkout / EXAMPLES / f"{name.partition(',')[0]}.py"
    over_grpc = "grpc" in name.lower()
    line = [arguments.python, str(file), "-u", f"127.0.0.1:{port + 1 if over_grpc else port}", *PROGRAMS[name]]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode == 0 and "FAIL" not in ended.stdout:
        return ""
    print(ended.stdout[-1500:] + ended.stderr[-1500:], file=sys.stderr)
    return f"FAILS, {ended.returncode}"


def load(path: str, port: int, name: str) -> str:
    """Its rate, when it runs to the end without a failed request."""
    over_grpc = "grpc" in LOADS[name]
    line = [path, "-u", f"127.0.0.1:{port + 1 if over_grpc else port}", "--measurement-mode", "count_windows"]
    # How even the rates of its windows are says something of the machine: what counts is that no request fails.
    line += ["--measurement-request-count", "200", "-r", "5", "-s", "999"]
    line += ([] if "-m" in LOADS[name] else ["-m", "simple"]) + LOADS[name]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    rate = re.search(r"Throughput: ([0-9.]+) infer/sec", ended.stdout)
    if ended.returncode == 0 and rate is not None and "ailed request" not in ended.stdout:
        return f"passes, {float(rate[1]):,.0f} inferences/s"
    print(ended.stdout[-1500:] + ended.stderr[-1500:], file=sys.stderr)
    return f"FAILS, {ended.returncode}"


if __name__ == "__main__":
    sys.exit(main())
