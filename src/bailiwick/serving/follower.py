"""Following the control plane: each new route table is loaded and warmed up beside the old one, then takes its place.

What is in force is kept on disk, so that a worker that restarts while control is down serves what it served before.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bailiwick.core.errors import BailiwickError, Corrupted, InvalidInput, Unavailable
from bailiwick.endpoints.model import ROUTE_FORMAT, Endpoint, RouteTable
from bailiwick.serving.control import ControlClient, parse_table
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.models import ModelSet, Opener
from bailiwick.serving.router import CompiledEndpoint, compile_endpoint, compile_routes
from bailiwick.serving.runtime import OnnxRuntime

FIRST_DELAY_SECONDS = 0.1
LAST_DELAY_SECONDS = 5.0
KEEP_PACKAGE_SECONDS = 600.0

_DIGEST = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class RouteCache:
    """`routes.json` and `packages/<digest>.onnx` in one folder, shared by the workers of a machine.

    The ending is older than packages that are not ONNX; files tell their kind themselves.
    """

    def __init__(self, folder: Path) -> None:
        self._routes = folder / "routes.json"
        self._packages = folder / "packages"

    def package(self, digest: str) -> Path:
        """Where a package is or will be. Raises InvalidInput for what is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(f"{digest[:80]!r} is not the digest of a package.")
        return self._packages / f"{digest}.onnx"

    def load(self) -> RouteTable | None:
        """The table last in force, or None."""
        try:
            return parse_table(self._routes.read_bytes())
        except (FileNotFoundError, Corrupted):
            return None

    def save(self, table: RouteTable) -> None:
        """Keep the table and the packages it needs, and those so new that another worker may be about to load them."""
        self._routes.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._routes.with_name(f".routes-{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(table))
        temporary.replace(self._routes)
        needed = {f"{variant.package}.onnx" for endpoint in table.endpoints for variant in endpoint.variants}
        oldest = time.time() - KEEP_PACKAGE_SECONDS
        for path in self._packages.glob("*.onnx"):
            if path.name not in needed and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


class RouteFollower:
    """A background thread that keeps the handler's routes current. `failures` says which endpoints could not be loaded."""

    def __init__(
        self,
        control: ControlClient,
        cache: RouteCache,
        handler: InferenceHandler,
        metrics: Metrics,
        opened: Opener = OnnxRuntime,
    ) -> None:
        self._control = control
        self._cache = cache
        self._handler = handler
        self._metrics = metrics
        self._models = ModelSet(self._fetch, opened)
        self._compiled: dict[str, CompiledEndpoint] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="route-follower", daemon=True)
        self.load_failures = 0

    def start(self) -> None:
        """Serve what is on disk, then follow."""
        table = self._cache.load()
        if table is not None:
            self.install(table)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does not hold up the process. Nothing is answered any more, so models are let go."""
        self._stopping.set()
        self._models.close()

    def install(self, table: RouteTable) -> bool:
        """Put a table in force. An endpoint whose new versions cannot be loaded keeps the versions it had.

        False when trying again may load more: a package could not be fetched for now.
        """
        failures: dict[str, str] = {}
        settled = True
        compiled: dict[str, CompiledEndpoint] = {}
        for endpoint in table.endpoints:
            try:
                compiled[endpoint.name] = self._ready(endpoint)
            except (BailiwickError, OSError) as error:
                failures[endpoint.name] = str(error)
                settled = settled and not isinstance(error, Unavailable)
                _log.error("endpoint %s stays as it was: %s", endpoint.name, error)
                if endpoint.name in self._compiled:
                    compiled[endpoint.name] = self._compiled[endpoint.name]
        self._put_in_force(table.revision, compiled, failures)
        return settled

    def _put_in_force(self, revision: int, compiled: dict[str, CompiledEndpoint], failures: Mapping[str, str]) -> None:
        self.load_failures += len(failures)
        self._handler.failures = failures
        self._handler.routes = compile_routes(revision, compiled)  # the swap: one assignment
        self._compiled = compiled
        arms = [(name, arm) for name, found in compiled.items() for arm in found.arms]
        self._models.keep(arm.variant.package for _, arm in arms)
        self._metrics.keep(compiled, [(name, arm.variant.name) for name, arm in arms])

    def _ready(self, endpoint: Endpoint) -> CompiledEndpoint:
        before = self._compiled.get(endpoint.name)
        if before is not None and before.source == endpoint:
            return before
        live = [variant for variant in endpoint.variants if variant.weight > 0]
        return compile_endpoint(endpoint, {variant.package: self._models.load(variant.package) for variant in live})

    def _fetch(self, digest: str) -> Path:
        path = self._cache.package(digest)
        if path.exists():
            path.touch()  # in use again: no other worker may take it for forgotten
        else:
            self._control.fetch(digest, path)
        return path

    def _follow(self) -> None:
        known: int | None = None
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            try:
                table = self._control.routes(known)
                settled = table is None or self._take(table)
            except BailiwickError as error:
                _log.warning("routes are not followed for now: %s", error)
                table, settled = None, False
            if settled:
                known = known if table is None else table.revision
                delay = FIRST_DELAY_SECONDS
            else:
                self._stopping.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = min(delay * 2, LAST_DELAY_SECONDS)

    def _take(self, table: RouteTable) -> bool:
        settled = self.install(table)
        self._keep(table.revision)
        return settled

    def _keep(self, revision: int) -> None:
        in_force = tuple(compiled.source for compiled in self._compiled.values())
        try:
            self._cache.save(RouteTable(format=ROUTE_FORMAT, revision=revision, endpoints=in_force))
        except OSError as error:
            _log.warning("the route table could not be kept on disk: %s", error)
