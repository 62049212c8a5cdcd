"""A whole server, and the commands and requests of a person in front of it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests_support.server import Server, answers, until


class Place:
    """A whole server, and the commands of a person in front of it."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "home")
        self.server.wait_up()
        until(self.server.ready, "the server")
        self.home = self.server.home
        self.url = f"http://127.0.0.1:{self.server.control}"

    def command(self, *words: str) -> Any:
        line = [sys.executable, "-m", "bailiwick", "--home", str(self.home), *words, "--json"]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def score(self, endpoint: str, body: Any) -> tuple[int, Any]:
        """The predictions, or the message."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.server.inference}/endpoints/{endpoint}/invocations",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as response:
                return response.status, json.load(response)["predictions"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["message"]

    def post(
        self, path: str, body: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of a request to the inference port."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.server.inference}{path}", body, {"Content-Type": kind, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def past(self, prediction: str) -> Any:
        """Once it is there."""
        until(lambda: answers(f"{self.url}/api/v1/predictions/{prediction}"), f"prediction {prediction}")
        with urllib.request.urlopen(f"{self.url}/api/v1/predictions/{prediction}", timeout=60) as response:
            return json.load(response)

    def infer(self, endpoint: str, rows: dict[str, list[Any]], **more: Any) -> tuple[int, dict[str, Any]]:
        types = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
        inputs = [
            {"name": name, "shape": [len(values), 1], "datatype": types[type(values[0])], "data": values}
            for name, values in rows.items()
        ]
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.server.inference}/v2/models/{endpoint}/infer",
            json.dumps({"inputs": inputs, **more}).encode(),
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def deployed(self, name: str) -> bool:
        return self.infer(name, {"nothing": [1.0]})[0] == 400
