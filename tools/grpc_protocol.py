#!/usr/bin/env python3
"""Compile `serving/messages/protos/*.proto` into `serving/messages/protocol.binpb`, which the server reads its messages from.

The compiler lives in `.protoc`, made at first use. `protocol.sha256` tells a test that the two belong together.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".protoc"
MESSAGES = ROOT / "src" / "bailiwick" / "serving" / "messages"
COMPILER = "grpcio-tools==1.76.0"


def digest() -> str:
    """Of all `.proto` files, in order of their names."""
    seen = hashlib.sha256()
    for path in sorted((MESSAGES / "protos").glob("*.proto")):
        seen.update(path.read_bytes())
    return seen.hexdigest()


def compile_all() -> None:
    """Needs the package index the first time."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=False)
        install = ["install", "--quiet", "--disable-pip-version-check", COMPILER, "setuptools<80"]
        subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    names = sorted(path.name for path in (MESSAGES / "protos").glob("*.proto"))
    output = f"--descriptor_set_out={MESSAGES / 'protocol.binpb'}"
    subprocess.run(
        [str(python), "-m", "grpc_tools.protoc", f"-I{MESSAGES / 'protos'}", "--include_imports", output, *names],
        check=True,
    )
    (MESSAGES / "protocol.sha256").write_text(f"{digest()}\n", encoding="ascii")


if __name__ == "__main__":
    compile_all()
