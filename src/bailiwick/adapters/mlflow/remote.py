"""An MLflow server as something to read: pages become iterators. Reading changes nothing there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, urlencode, urlsplit

from bailiwick.adapters.mlflow.connection import MlflowConnection, Record, Refused
from bailiwick.core.errors import InvalidInput, NotFound, Unavailable

API = "/api/2.0/mlflow/"
PAGE = 1_000
RUNS_PAGE = 100
LOGGED_MODELS_PAGE = 50
HISTORY_PAGE = 25_000
MAX_DEPTH = 50
"""Folders within folders of artifacts: what goes deeper, or in circles, is not followed."""

PROMPT_TAG = "mlflow.prompt.is_prompt"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class RemoteMlflow:
    """What one server holds. Whatever is read may be anything: `answers` makes values of it."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection
        self.url = connection.url

    def check(self) -> None:
        """One small request, tried once. Raises InvalidInput, Unauthenticated, Unavailable: what is wrong is then known."""
        try:
            body = {"max_results": 1, "view_type": "ALL"}
            self._connection.read("POST", f"{API}experiments/search", body, tries=1)
        except NotFound:
            raise InvalidInput(
                f"There is no MLflow server at {self.url}: it does not know {API}experiments/search.",
                hint="Is this the address of an MLflow server (1.28 or newer), with the path that its API is below?",
            ) from None

    # -- records -----------------------------------------------------------------------------------------------------

    def experiments(self) -> Iterator[Record]:
        """Every experiment, deleted ones too, in the order they were made."""
        body: Record = {"view_type": "ALL", "order_by": ["creation_time ASC"]}
        return self._pages("experiments/search", body, "experiments")

    def run_pages(self, experiment_id: str) -> Iterator[list[Record]]:
        """Every run of an experiment, deleted ones too, oldest first, a hundred at a time."""
        body: Record = {
            "experiment_ids": [experiment_id],
            "run_view_type": "ALL",
            "order_by": ["attributes.start_time ASC"],
        }
        return self._whole_pages("runs/search", body, "runs", size=RUNS_PAGE)

    def metric_history(self, run_id: str, key: str) -> Iterator[Record]:
        """Every point of a metric."""
        query = {"run_id": run_id, "run_uuid": run_id, "metric_key": key}
        return self._queried("metrics/get-history", query, "metrics", size=HISTORY_PAGE)

    def logged_models(self, experiment_id: str) -> Iterator[Record]:
        """Every logged model of an experiment that is not deleted; none from a server that has no such thing, as before MLflow 3."""
        body: Record = {"experiment_ids": [experiment_id]}
        try:
            yield from self._pages("logged-models/search", body, "models", size=LOGGED_MODELS_PAGE)
        except NotFound:
            return

    def model_names(self) -> list[str]:
        """Names of all registered models, prompts among them, which a search leaves out unless they are asked for."""
        found: dict[str, None] = {}
        for query in ({}, {"filter": f"tag.`{PROMPT_TAG}` = 'true'"}):
            for each in self._queried("registered-models/search", query, "registered_models"):
                found[str(each.get("name", ""))] = None
        return sorted(found)

    def registered_model(self, name: str) -> Record:
        """One model with its aliases and tags. Raises NotFound."""
        model = self._get("registered-models/get", {"name": name}).get("registered_model")
        if not isinstance(model, dict):
            raise Unavailable(f"{self.url} did not tell what the registered model {name!r} is.")
        return model

    def model_versions(self, model: str) -> list[Record]:
        """Every version of a model that is not deleted, in no order."""
        prompts = f"tag.`{PROMPT_TAG}` = 'true'"
        conditions = ["", prompts]  # a name with both marks cannot be said in a filter: then all versions are looked at
        for mark in ('"', "'"):
            if mark not in model:
                conditions = [f"name = {mark}{model}{mark}", f"name = {mark}{model}{mark} AND {prompts}"]
        found: dict[str, Record] = {}
        for condition in conditions:
            query = {"filter": condition} if condition else {}
            for each in self._queried("model-versions/search", query, "model_versions"):
                if each.get("name") == model:
                    found[str(each.get("version"))] = each
        return list(found.values())

    def download_uri(self, model: str, version: str) -> str:
        """Where the files of a version are. Raises NotFound."""
        found = self._get("model-versions/get-download-uri", {"name": model, "version": version}).get("artifact_uri")
        return str(found or "")

    # -- artifacts ---------------------------------------------------------------------------------------------------

    def proxied(self, location: str) -> str | None:
        """The path of a location that the server itself passes on; None for any other place."""
        try:
            parts = urlsplit(location)
            port = parts.port
        except ValueError:
            return None
        elsewhere = (parts.hostname, port) != (self._connection.host, self._connection.port)
        if parts.scheme == "mlflow-artifacts":
            return None if parts.netloc and elsewhere else parts.path.strip("/")
        if parts.scheme in {"http", "https"} and not elsewhere and _ARTIFACTS in parts.path:
            return parts.path.partition(_ARTIFACTS)[2].strip("/")
        return None

    def files(self, root: str, refused: Callable[[str, str], None]) -> Iterator[tuple[str, int | None]]:
        """(path below `root`, bytes where they are told) of every file. Paths are what the server says: check them.

        `refused` is told each folder that the server will not list, and why; the others are listed all the same.
        """
        return self._files(root, "", 0, refused)

    def file(self, root: str, path: str) -> Iterator[bytes]:
        """The bytes of one file, in pieces. Raises NotFound, Refused; Unavailable where it breaks off."""
        return self._connection.stream(f"{_ARTIFACTS}/{quote(f'{root}/{path}')}")

    def _files(
        self, root: str, folder: str, depth: int, refused: Callable[[str, str], None]
    ) -> Iterator[tuple[str, int | None]]:
        if depth > MAX_DEPTH:
            raise Unavailable(f"{self.url} tells of more than {MAX_DEPTH} folders within each other: {folder[:200]!r}.")
        inside = f"{root}/{folder}" if folder else root
        try:
            listed = self._connection.read("GET", f"{_ARTIFACTS}?{urlencode({'path': inside})}")
        except Refused as refusal:
            refused(folder, refusal.message)
            return
        for entry in _items(listed, "files"):
            name, size = entry.get("path"), entry.get("file_size")
            if not isinstance(name, str) or not name:
                raise Unavailable(f"{self.url} lists an artifact without a path below {inside[:200]!r}.")
            path = f"{folder}/{name}" if folder else name
            if entry.get("is_dir") is not True:
                yield path, int(size) if isinstance(size, int | str) and str(size).isdecimal() else None
            elif "/" in name or name in {".", ".."}:
                yield path, None  # no folder of that name can be: whoever checks the path will say so
            else:
                yield from self._files(root, path, depth + 1, refused)

    # -- pages -------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, body: Record, items: str, *, size: int = PAGE) -> Iterator[Record]:
        for page in self._whole_pages(path, body, items, size=size):
            yield from page

    def _whole_pages(self, path: str, body: Record, items: str, *, size: int) -> Iterator[list[Record]]:
        asked = {**body, "max_results": size}
        while True:
            page = self._connection.read("POST", f"{API}{path}", asked)
            yield _items(page, items)
            token = self._onward(page, asked.get("page_token"))
            if not token:
                return
            asked["page_token"] = token

    def _queried(self, path: str, query: Mapping[str, str], items: str, *, size: int = PAGE) -> Iterator[Record]:
        asked = {**query, "max_results": str(size)}
        while True:
            page = self._get(path, asked)
            yield from _items(page, items)
            token = self._onward(page, asked.get("page_token"))
            if not token:
                return
            asked["page_token"] = token

    def _onward(self, page: Record, before: object) -> str:
        token = page.get("next_page_token") or ""
        if token and token == before:
            raise Unavailable(f"{self.url} gives the same page again and again.")
        return str(token)

    def _get(self, path: str, query: Mapping[str, str]) -> Record:
        return self._connection.read("GET", f"{API}{path}?{urlencode(query)}")


def _items(page: Record, name: str) -> list[Record]:
    found = page.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unavailable(f"The MLflow server's {name!r} is not a list of objects.")
    return found
