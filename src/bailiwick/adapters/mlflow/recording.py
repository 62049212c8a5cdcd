"""One run recorded on a tracking server over MLflow's protocol: this program's, or any other that speaks it.

What may be repeated is tried again when the server is away for a moment; making a run is not, since it would make two.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from bailiwick.core.errors import BailiwickError, InvalidInput, NotFound, Unauthenticated, Unavailable
from bailiwick.tracking.model import MetricPoint

TRIES = 3
FIRST_WAIT_SECONDS = 0.5
TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 1 << 24

_API = "/api/2.0/mlflow"
_PROXIED = "mlflow-artifacts"
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run of the server, and where its artifacts go."""

    id: str
    experiment_id: str
    artifact_uri: str


class RunRecorder:
    """A tracking server at `url`, which is asked with a bearer token if there is one. For threads of one process."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        workspace: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _checked(url)
        self._sleep = sleep
        self._headers = {"Accept": "application/json"}
        if token:
            if not token.isascii() or not token.isprintable():
                raise InvalidInput("The token holds characters that no HTTP header can.")
            self._headers["Authorization"] = f"Bearer {token}"
        if workspace:
            self._headers["X-MLFLOW-WORKSPACE"] = workspace

    def start(self, experiment: str, *, name: str = "", user: str = "", tags: Mapping[str, str]) -> RecordedRun:
        """Begin a run in the experiment of that name, which is made if there is none."""
        body: Json = {
            "experiment_id": self._experiment(experiment),
            "user_id": user,
            "start_time": _now(),
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        made = self._call("POST", f"{_API}/runs/create", body | ({"run_name": name} if name else {}), tries=1)
        try:
            info = made["run"]["info"]
            return RecordedRun(str(info["run_id"]), str(info["experiment_id"]), str(info["artifact_uri"]))
        except (KeyError, TypeError):
            raise self._strange() from None

    def log(self, run: RecordedRun, points: Sequence[MetricPoint]) -> None:
        """Log metrics; at most 1,000 at a time."""
        metrics = [{"key": each.key, "value": each.value, "timestamp": each.time, "step": each.step} for each in points]
        self._call("POST", f"{_API}/runs/log-batch", {"run_id": run.id, "metrics": metrics})

    def tag(self, run: RecordedRun, tags: Mapping[str, str]) -> None:
        """Set tags."""
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        self._call("POST", f"{_API}/runs/log-batch", {"run_id": run.id, "tags": listed})

    def keep(self, run: RecordedRun, path: str, data: bytes) -> None:
        """Keep bytes as an artifact of the run: through the proxy, or where the server itself can write."""
        parts = urlsplit(run.artifact_uri)
        if parts.scheme == _PROXIED:
            below = quote(f"{parts.path.strip('/')}/{path}")
            self._call("PUT", f"/api/2.0/{_PROXIED}/artifacts/{below}", data)
        else:
            asked = f"run_uuid={run.id}&path={quote(path, safe='')}"
            self._call("POST", f"/ajax-api/2.0/mlflow/upload-artifact?{asked}", data)

    def finish(self, run: RecordedRun, status: str) -> None:
        """End the run, whatever its process has said of it before."""
        self._call("POST", f"{_API}/runs/update", {"run_id": run.id, "status": status, "end_time": _now()})

    def _experiment(self, name: str) -> str:
        asked = f"{_API}/experiments/get-by-name?experiment_name={quote(name, safe='')}"
        try:
            return self._experiment_id(self._call("GET", asked), "experiment")
        except NotFound:
            pass
        try:
            made = self._call("POST", f"{_API}/experiments/create", {"name": name})
        except InvalidInput:  # another has made it in between, or a deleted one has the name, which is told then
            return self._experiment_id(self._call("GET", asked), "experiment")
        return str(made["experiment_id"]) if "experiment_id" in made else self._experiment_id(made, "experiment")

    def _experiment_id(self, answer: Json, key: str) -> str:
        try:
            return str(answer[key]["experiment_id"])
        except (KeyError, TypeError):
            raise self._strange() from None

    def _call(self, method: str, path: str, body: Json | bytes | None = None, *, tries: int = TRIES) -> Json:
        wait = FIRST_WAIT_SECONDS
        for left in range(tries - 1, -1, -1):
            try:
                return self._ask(method, path, body)
            except Unavailable:
                if not left:
                    raise
            self._sleep(wait)
            wait *= 2
        raise AssertionError("at least one try")

    def _ask(self, method: str, path: str, body: Json | bytes | None) -> Json:
        if isinstance(body, bytes):
            return self._send(method, path, body, {"Content-Type": "application/octet-stream"})
        data = None if body is None else json.dumps(body).encode()
        return self._send(method, path, data, {"Content-Type": "application/json"} if data else {})

    def _send(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> Json:
        request = urllib.request.Request(self.url + path, data, dict(headers), method=method)  # noqa: S310 - http(s), checked
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
                said = answer.read(MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(100_000)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"The tracking server at {self.url} cannot be reached: {reason}.",
                hint="Is its address right, and is it running?",
            ) from error
        try:
            value = json.loads(said) if said.strip() else {}
        except ValueError:
            raise self._strange() from None
        if not isinstance(value, dict):
            raise self._strange()
        return value

    def _refused(self, status: int, said: bytes) -> BailiwickError:
        try:
            told = json.loads(said)
            code, message = str(told.get("error_code", "")), str(told.get("message", ""))
        except (ValueError, AttributeError):
            code, message = "", " ".join(said.decode("utf-8", "replace").split())
        text = f"{self.url} answers HTTP {status}: {message[:300]}"
        if status in {401, 403}:
            return Unauthenticated(text, hint="Give a token with --token, or better in BAILIWICK_TOKEN.")
        if status in _PASSING:
            return Unavailable(text)
        if status == http.HTTPStatus.NOT_FOUND and code == "RESOURCE_DOES_NOT_EXIST":
            return NotFound(text)
        return InvalidInput(text) if code else self._strange()

    def _strange(self) -> InvalidInput:
        return InvalidInput(f"{self.url} does not answer as a tracking server does.", hint="Use http://host:8600.")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise InvalidInput(f"{url[:200]!r} is not the address of a tracking server.", hint="Use http://host:8600.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "Credentials do not belong into the address, which is handed on and shown.",
            hint="Give a token with --token, or better in BAILIWICK_TOKEN.",
        )
    return url.rstrip("/")


def _now() -> int:
    return time.time_ns() // 1_000_000
