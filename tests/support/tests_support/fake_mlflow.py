"""A small MLflow server in this process: what a reader asks of one, from plain dicts, with faults where a test wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
PAGE = 3
"""Most items of an answer, so that there are pages."""

Answer = tuple[int, bytes]
Fault = Callable[[str, str, dict[str, Any]], Answer | None]


class FakeMlflow:
    """What it holds may be changed at any time. `fault` may answer a request in place of it: method, path, arguments."""

    def __init__(self) -> None:
        self.experiments: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.history: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.logged: list[dict[str, Any]] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.fault: Fault = lambda *_: None
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def experiment(self, number: str, name: str, **more: Any) -> None:
        """Add an experiment."""
        known = {"experiment_id": number, "name": name, "artifact_location": f"mlflow-artifacts:/{number}"}
        times = {"creation_time": 1_000 + int(number), "last_update_time": 2_000, "lifecycle_stage": "active"}
        self.experiments.append({**known, **times, **more})

    def run(self, run_id: str, experiment: str, *, points: dict[str, int] | None = None, **info: Any) -> dict[str, Any]:
        """Add a run with so many points a metric; returns its record, which may be changed."""
        place = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
        known = {"run_id": run_id, "run_uuid": run_id, "run_name": f"name of {run_id[:4]}", "user_id": "ana"}
        known |= {"experiment_id": experiment, "artifact_uri": place, "status": "FINISHED", "lifecycle_stage": "active"}
        times = {"start_time": 1_000_000 + len(self.runs), "end_time": 2_000_000}
        data: dict[str, Any] = {
            "params": [{"key": "lr", "value": "0.1"}],
            "tags": [{"key": "mlflow.runName", "value": known["run_name"]}, {"key": "team", "value": "risk"}],
            "metrics": [],
        }
        self.runs[run_id] = {"info": {**known, **times, **info}, "data": data, "inputs": {}, "outputs": {}}
        for key, count in (points or {}).items():
            self.points(run_id, key, count)
        return self.runs[run_id]

    def points(self, run_id: str, key: str, count: int) -> None:
        """Say that a metric has so many points."""
        history = [
            {"key": key, "value": 1 / (step + 1), "timestamp": 1_000_000 + step, "step": step} for step in range(count)
        ]
        self.history[run_id, key] = history
        metrics = [each for each in self.runs[run_id]["data"]["metrics"] if each["key"] != key]
        self.runs[run_id]["data"]["metrics"] = [*metrics, history[-1]]

    def model(self, name: str, *versions: int, aliases: dict[str, int] | None = None, **more: Any) -> None:
        """Add a registered model with versions from a store of objects."""
        pointing = [{"alias": alias, "version": str(number)} for alias, number in (aliases or {}).items()]
        self.models[name] = {"name": name, "creation_timestamp": 5_000, "aliases": pointing, **more}
        for number in versions:
            known = {"name": name, "version": str(number), "current_stage": "None", "status": "READY"}
            self.versions.append({**known, "source": f"s3://b/{name}/{number}", "creation_timestamp": 6_000 + number})

    # -- answers -------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, given: dict[str, Any]) -> Answer:
        """What a request is answered with."""
        instead = self.fault(method, path, given)
        if instead is not None:
            return instead
        if path.startswith(f"{FILES}/"):
            data = self.files.get(path.removeprefix(f"{FILES}/"))
            return (404, b"{}") if data is None else (200, data)
        found = self._found(path, given)
        return (404, b'{"error_code": "ENDPOINT_NOT_FOUND"}') if found is None else (200, json.dumps(found).encode())

    def _found(self, path: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if path == FILES:
            return {"files": self._listed(str(given.get("path", "")))}
        searches: dict[str, tuple[str, Callable[[], list[dict[str, Any]]]]] = {
            "experiments/search": ("experiments", lambda: self.experiments),
            "runs/search": ("runs", lambda: self._runs_of(given["experiment_ids"])),
            "metrics/get-history": ("metrics", lambda: self.history.get((given["run_id"], given["metric_key"]), [])),
            "logged-models/search": ("models", lambda: self._logged_of(given["experiment_ids"])),
            "registered-models/search": ("registered_models", lambda: self._models(given)),
            "model-versions/search": ("model_versions", lambda: self._versions(given)),
        }
        name = path.removeprefix(API)
        if name in searches:
            word, items = searches[name]
            return _page(word, items(), given)
        if name == "registered-models/get" and given["name"] in self.models:
            return {"registered_model": self.models[given["name"]]}
        return None

    def _runs_of(self, experiments: list[str]) -> list[dict[str, Any]]:
        return [run for run in self.runs.values() if run["info"]["experiment_id"] in experiments]

    def _logged_of(self, experiments: list[str]) -> list[dict[str, Any]]:
        return [each for each in self.logged if each["info"]["experiment_id"] in experiments]

    def _models(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if "filter" in given else list(self.models.values())

    def _versions(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            each for each in self.versions if f"'{each['name']}'" in given["filter"] and "AND" not in given["filter"]
        ]

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        prefix = f"{folder}/" if folder else ""
        below = {path[len(prefix) :]: data for path, data in self.files.items() if path.startswith(prefix)}
        names = dict.fromkeys(path.partition("/")[0] for path in below)
        return [
            {"path": name, "is_dir": False, "file_size": len(below[name])}
            if name in below
            else {"path": name, "is_dir": True}
            for name in names
        ]


def _page(word: str, items: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    start = int(given.get("page_token") or 0)
    page: dict[str, Any] = {word: items[start : start + PAGE]}
    if start + PAGE < len(items):
        page["next_page_token"] = str(start + PAGE)
    return page


@contextmanager
def serving(fake: FakeMlflow) -> Iterator[FakeMlflow]:
    """Answer over HTTP on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            self._answer(query)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"))

        def _answer(self, given: dict[str, Any]) -> None:
            path = unquote(urlsplit(self.path).path)
            fake.asked.append(path)
            fake.headers.append(dict(self.headers))
            status, data = fake.answer(self.command, path, given)
            announced = len(data)
            if status == 299:  # announce more than is sent, and hang up
                status, announced, self.close_connection = 200, len(data) + 1_000, True
            self.send_response(status)
            if status in {301, 302}:
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
