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
from typing import NamedTuple

import msgspec

from bailiwick.core.errors import BailiwickError, Corrupted, InvalidInput, NotAllowed, NotFound, Unavailable
from bailiwick.core.serving_setting import check_setting
from bailiwick.endpoints.model import ROUTE_FORMAT, Endpoint, RouteTable, Variant
from bailiwick.pyfunc.archive import is_archive
from bailiwick.serving.control import ControlClient, parse_table
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.models import ModelSet, StillLoading
from bailiwick.serving.router import CompiledEndpoint, compile_endpoint, compile_routes, named_by_policy
from bailiwick.serving.runtime import OnnxRuntime, Opener, Runtime
from bailiwick.serving.runtimes.residency import Residency
from bailiwick.serving.shelf import Shelf

FIRST_DELAY_SECONDS = 0.1
LAST_DELAY_SECONDS = 5.0
KEEP_PACKAGE_SECONDS = 600.0
SHELF_SECONDS = 0.5
START_SECONDS = 15.0
"""How long a process that starts waits for models before it answers those that are there by then."""
PATIENCE_SECONDS = 3.0
"""How long a new table waits for models. One that takes longer joins when it is loaded, and holds up no other endpoint."""
ASKED_SECONDS = 300.0
"""How long a client who has an endpoint loaded waits for it at most."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class ModelBound(NamedTuple):
    """Most bytes of models that a process holds, 0 for all that are routed to; and how long a request waits for a load."""

    bytes: int = 0
    seconds: float = 10.0


UNBOUNDED = ModelBound()


class RouteCache:
    """`routes.json` and `packages/<digest>.onnx` in one folder, shared by the workers of a machine; beside a package may be a
    note of what was found when it was loaded.

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
        needed = {f"{package}.onnx" for endpoint in table.endpoints for package in endpoint.packages}
        oldest = time.time() - KEEP_PACKAGE_SECONDS
        for path in self._packages.glob("*.onnx"):
            if path.name not in needed and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)


class RouteFollower:
    """A background thread that keeps the handler's routes current. `failures` says which endpoints could not be loaded."""

    def __init__(
        self,
        control: ControlClient,
        cache: RouteCache,
        handler: InferenceHandler,
        metrics: Metrics,
        opened: Opener = OnnxRuntime,
        shelf: Shelf | None = None,
        bound: ModelBound = UNBOUNDED,
    ) -> None:
        """With a `shelf`, clients may unload endpoints and load them again."""
        self._control = control
        self._cache = cache
        self._handler = handler
        self._metrics = metrics
        self.residency = (
            Residency(bound.bytes, self._fetch, opened, load_seconds=bound.seconds) if bound.bytes else None
        )
        self._models = ModelSet(self._fetch, opened, self.residency)
        self._compiled: dict[str, CompiledEndpoint] = {}
        self._shelf = shelf
        self._table: RouteTable | None = None  # last installed
        self._shelved: frozenset[str] = frozenset()  # what of it was left out
        self._installing = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="route-follower", daemon=True)
        self._deadline = 0.0  # until when the table that is being installed waits for models
        self._unfetched = False  # something that only a policy names could not be fetched for now
        self.load_failures = 0

    def start(self) -> None:
        """Serve what is on disk and is loaded soon, then the rest, and follow."""
        table = self._cache.load()
        if table is not None:
            self.install(table, patience_seconds=START_SECONDS)
            self._handler.starting = bool(self._handler.loading)
        self._thread.start()
        if self._shelf is not None:
            threading.Thread(target=self._watch_shelf, name="shelf", daemon=True).start()

    def stop(self) -> None:
        """Ask the thread to end; it does not hold up the process. Nothing is answered any more, so models are let go."""
        self._stopping.set()
        self._models.close()

    def install(self, table: RouteTable, *, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Put a table in force. An endpoint whose new versions cannot be loaded keeps the versions it had.

        False when trying again may load more: a package could not be fetched for now, or is being loaded still.
        """
        with self._installing:
            return self._install(table, patience_seconds)

    def load(self, name: str) -> None:
        """Serve an unloaded endpoint again, once it is loaded and warm. May be repeated; any thread.

        Raises NotFound for what is not deployed, Unavailable when it cannot be loaded.
        """
        self._move(name, unloaded=False)
        if name in self._handler.failures:
            raise Unavailable(f"failed to load {name!r}: {self._handler.failures[name]}")

    def unload(self, name: str) -> None:
        """Stop serving an endpoint on this machine until `load`, and free its memory. May be repeated; any thread."""
        self._move(name, unloaded=True)

    def _move(self, name: str, *, unloaded: bool) -> None:
        if self._shelf is None:
            raise NotAllowed(
                "Clients may not load and unload endpoints here.", hint="The setting repository_control lets them."
            )
        with self._installing:
            if self._table is None or all(endpoint.name != name for endpoint in self._table.endpoints):
                verb = "unload" if unloaded else "load"
                raise NotFound(f"failed to {verb} {name[:100]!r}: no such endpoint is deployed.")
            self._shelf.change(name, unloaded=unloaded)
            self._install(self._table, PATIENCE_SECONDS if unloaded else ASKED_SECONDS)

    def _watch_shelf(self) -> None:
        """What another worker of this machine unloads is unloaded here too."""
        while not self._stopping.wait(SHELF_SECONDS):
            with self._installing:
                if self._shelf is not None and self._table is not None and self._shelf.names() != self._shelved:
                    self._install(self._table, PATIENCE_SECONDS)

    def _install(self, table: RouteTable, patience_seconds: float) -> bool:
        failures: dict[str, str] = {}
        loading: set[str] = set()
        settled = True
        compiled: dict[str, CompiledEndpoint] = {}
        self._table = table
        self._shelved = frozenset() if self._shelf is None else self._shelf.names()
        self._deadline = time.monotonic() + patience_seconds
        wanted = [endpoint for endpoint in table.endpoints if endpoint.name not in self._shelved]
        for endpoint in sorted(wanted, key=self._takes_long):
            self._begin(endpoint)
        for endpoint in wanted:
            try:
                found = compiled[endpoint.name] = self._ready(endpoint)
                failures |= {f"{endpoint.name}: {what}": said for what, said in found.problems.items()}
                settled = settled and not self._unfetched
            except StillLoading:
                loading.add(endpoint.name)
                settled = False
                if endpoint.name in self._compiled:
                    compiled[endpoint.name] = self._compiled[endpoint.name]
            except (BailiwickError, OSError) as error:
                failures[endpoint.name] = str(error)
                settled = settled and not isinstance(error, Unavailable)
                _log.error("endpoint %s stays as it was: %s", endpoint.name, error)
                if endpoint.name in self._compiled:
                    compiled[endpoint.name] = self._compiled[endpoint.name]
        self._handler.loading = frozenset(loading)
        self._handler.starting = self._handler.starting and bool(loading)
        self._put_in_force(table.revision, compiled, failures)
        return settled

    def _put_in_force(self, revision: int, compiled: dict[str, CompiledEndpoint], failures: Mapping[str, str]) -> None:
        self.load_failures += len(failures)
        self._handler.failures = failures
        self._handler.unloaded = self._shelved
        self._handler.routes = routes = compile_routes(revision, compiled)  # the swap: one assignment
        self._compiled = compiled
        self._models.keep(
            loading
            for endpoint in (*(found.source for found in compiled.values()), *self._awaited())
            for loading in endpoint.loadings
        )
        self._metrics.keep(compiled, [pair for found in compiled.values() for pair in _answering(found)])
        self._handler.forget(routes)

    def _awaited(self) -> list[Endpoint]:
        """What of the table is being loaded still, and what a policy names that is."""
        table = self._table
        waits = self._handler.loading
        return [] if table is None else [each for each in table.endpoints if each.name in waits]

    def _unchanged(self, endpoint: Endpoint) -> CompiledEndpoint | None:
        before = self._compiled.get(endpoint.name)
        return before if before is not None and before.source == endpoint and not before.problems else None

    def _begin(self, endpoint: Endpoint) -> None:
        """Have all that it needs loaded at once, as far as there are loaders."""
        if self._unchanged(endpoint) is None:
            for variant in (*_live(endpoint), *named_by_policy(endpoint).values()):
                self._models.begin(variant.loading)

    def _takes_long(self, endpoint: Endpoint) -> bool:
        """Whether it has a model that stays Python, behind which the others need not wait."""
        if self._unchanged(endpoint) is not None:
            return False
        paths = [self._cache.package(package) for package in endpoint.packages]
        return any(path.exists() and is_archive(path) for path in paths)

    def _ready(self, endpoint: Endpoint) -> CompiledEndpoint:
        self._unfetched = False
        before = self._unchanged(endpoint)
        if before is not None:
            return before
        runtimes = {variant.loading: self._loaded(variant) for variant in _live(endpoint)}
        problems: dict[str, str] = {}
        for what, variant in named_by_policy(endpoint).items():
            try:
                runtimes[variant.loading] = self._loaded(variant)
            except (BailiwickError, OSError) as error:
                problems[what] = str(error)
                self._unfetched = self._unfetched or isinstance(error, Unavailable)
                _log.error("endpoint %s goes on without its %s: %s", endpoint.name, what, error)
        return compile_endpoint(endpoint, runtimes, problems=problems)

    def _loaded(self, variant: Variant) -> Runtime:
        """Raises InvalidInput for a setting that no control plane should send, and what loading raises."""
        check_setting(variant.setting)
        return self._models.load(variant.loading, max(0.0, self._deadline - time.monotonic()))

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
        wrong = ""
        while not self._stopping.is_set():
            try:
                table = self._control.routes(known)
                settled = table is None or self._take(table)
                if wrong:
                    wrong = ""
                    _log.warning("routes are followed again")
            except BailiwickError as error:
                if str(error) != wrong:  # once, not at each attempt of an outage
                    wrong = str(error)
                    _log.warning("routes are not followed for now: %s", error)
                table, settled = None, False
                if self._handler.loading and self._table is not None:
                    self.install(self._table)
            if settled:
                known = known if table is None else table.revision
                delay = FIRST_DELAY_SECONDS
            else:
                self._stopping.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = FIRST_DELAY_SECONDS if self._handler.loading else min(delay * 2, LAST_DELAY_SECONDS)

    def _take(self, table: RouteTable) -> bool:
        settled = self.install(table)
        self._keep(table.revision)
        return settled

    def _keep(self, revision: int) -> None:
        in_force = tuple(compiled.source for compiled in self._compiled.values())
        if self._table is not None:  # what is unloaded can be loaded again, also after a restart without control
            in_force += tuple(endpoint for endpoint in self._table.endpoints if endpoint.name in self._shelved)
        in_force += tuple(endpoint for endpoint in self._awaited() if endpoint.name not in self._compiled)
        try:
            self._cache.save(RouteTable(format=ROUTE_FORMAT, revision=revision, endpoints=in_force))
        except OSError as error:
            _log.warning("the route table could not be kept on disk: %s", error)


def _live(endpoint: Endpoint) -> list[Variant]:
    return [variant for variant in endpoint.variants if variant.weight > 0]


def _answering(compiled: CompiledEndpoint) -> list[tuple[str, str]]:
    """(endpoint, variant) of everything whose answers callers may get."""
    handling = compiled.handling
    others = [] if handling is None else [*handling.choices.values(), *handling.fallbacks]
    return [(compiled.endpoint.name, arm.variant.name) for each in (compiled, *others) for arm in each.arms]
