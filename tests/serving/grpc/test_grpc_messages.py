"""The compiled protocol belongs to its sources, and keeps out of the way of other programs' messages."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import bailiwick.serving.messages as package
from bailiwick.serving.messages.classes import file_of, files, message

FOLDER = Path(package.__file__).parent


def test_what_is_compiled_is_what_the_sources_say() -> None:
    seen = hashlib.sha256()
    for path in sorted((FOLDER / "protos").glob("*.proto")):
        seen.update(path.read_bytes())
    said = (FOLDER / "protocol.sha256").read_text(encoding="ascii").strip()
    assert seen.hexdigest() == said, "run tools/grpc_protocol.py"
    assert set(files()) == {path.name for path in (FOLDER / "protos").glob("*.proto")}


def test_messages_are_in_a_pool_of_their_own() -> None:
    script = """
from google.protobuf import descriptor_pb2, descriptor_pool
from bailiwick.serving.messages.classes import files, message
message("inference.ModelInferRequest")
for file in files().values():  # as a client of the protocol would
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString().replace(b"wire.proto", b"wore.proto"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_symbols_are_found_in_their_files() -> None:
    assert file_of("inference.GRPCInferenceService") == "inference.proto"
    assert file_of("inference.ModelInferRequest.InferInputTensor") == "inference.proto"
    assert file_of("grpc.health.v1.Health.Check") == "health.proto"
    assert message("inference.ModelConfig").DESCRIPTOR.fields_by_name["backend"].number == 17
