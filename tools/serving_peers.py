#!/usr/bin/env python3
"""Make the environments of the servers that `benchmarks/serving_peers.py` runs beside ours: `.peers/NAME`.

    python tools/serving_peers.py [NAME ...]

They are used for measuring only and never by tests or CI, so each is pinned by its own version and not by a lock. Needs
`.venv`, whose pip installs into them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / ".peers"
RUNTIME = ["onnxruntime==1.26.0", "numpy<3"]
PEERS = {
    "mlserver": ["mlserver==1.7.1", *RUNTIME],
    "bentoml": ["bentoml==1.4.39", *RUNTIME],
    "litserve": ["litserve==0.2.19", *RUNTIME],
    "ray": ["ray[serve]==2.56.0", "protobuf<6", *RUNTIME],
    "mlflow": ["mlflow==3.17.2", "onnx==1.20.1", *RUNTIME],
}


def make(name: str) -> None:
    """Make one environment, or add to it what its list has that it was not made from."""
    folder = HOME / name
    done = folder / "made-from.json"
    wanted = json.dumps(PEERS[name])
    if done.is_file() and done.read_text() == wanted:
        return
    print(f"{name}: installing {' '.join(PEERS[name])} …", flush=True)
    venv.create(folder, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", *PEERS[name]]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), *install], check=True)
    done.write_text(wanted)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PEERS:
        make(chosen)
