"""The loaded packages of a process, by what they are loaded as (`Variant.loading`): a new one is loaded and warmed up beside the old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bailiwick.core.errors import Unavailable
from bailiwick.endpoints.model import package_of
from bailiwick.serving.runtime import OnnxRuntime, Opener, Runtime
from bailiwick.serving.runtimes.residency import Residency

LOADERS = 4
"""Loads at a time. A model that stays Python may take minutes to load, and holds up none of the others meanwhile."""


class StillLoading(Unavailable):
    """It is being loaded; ask again."""


class _Load:
    """A load in a thread of its own; `wanted` until nobody waits for it any more."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.runtime: Runtime | None = None
        self.error: BaseException | None = None
        self.wanted = True


class ModelSet:
    """Used by one thread, which may have several loaded at once; requests hold the runtimes they use, so dropping one never
    breaks an answer.

    With a `residency` models are known here and held there, as far as its bound allows.
    """

    def __init__(
        self, fetch: Callable[[str], Path], opened: Opener = OnnxRuntime, residency: Residency | None = None
    ) -> None:
        self._fetch = fetch
        self._opened = opened
        self.residency = residency
        self._loaded: dict[str, Runtime] = {}
        self._loading: dict[str, _Load] = {}
        self._places = threading.BoundedSemaphore(LOADERS)
        self._lock = threading.Lock()

    @property
    def loaded(self) -> Mapping[str, Runtime]:
        """Runtimes by what they are loaded as."""
        return self._loaded

    def begin(self, loading: str) -> None:
        """Have it loaded, unless it is, without waiting for it."""
        if loading not in self._loaded:
            self._begun(loading)

    def load(self, loading: str, wait_seconds: float | None = None) -> Runtime:
        """The warm runtime of a package. Raises InvalidInput, ModelFailed, and what fetching it raises; StillLoading when
        that takes longer than `wait_seconds`, and goes on.
        """
        runtime = self._loaded.get(loading)
        if runtime is not None:
            return runtime
        load = self._begun(loading)
        if not load.done.wait(wait_seconds):
            raise StillLoading(f"The package {loading[:12]} is being loaded.")
        self._loading.pop(loading, None)
        if load.error is not None:
            raise load.error
        assert load.runtime is not None
        self._loaded[loading] = load.runtime
        return load.runtime

    def keep(self, loadings: Iterable[str]) -> None:
        """Drop every package that is not among these; its memory is freed when the last request is done with it."""
        wanted = frozenset(loadings)
        self._loaded = {loading: runtime for loading, runtime in self._loaded.items() if loading in wanted}
        self._abandon(loading for loading in tuple(self._loading) if loading not in wanted)
        if self.residency is not None:
            self.residency.keep(wanted)

    def close(self) -> None:
        """Give back what every runtime holds: no request comes any more."""
        self._abandon(tuple(self._loading))
        for runtime in self._loaded.values():
            runtime.close()
        if self.residency is not None:
            self.residency.close()

    def _begun(self, loading: str) -> _Load:
        load = self._loading.get(loading)
        if load is None:
            load = self._loading[loading] = _Load()
            # A daemon: neither a model nor a control plane that hangs keeps the process from ending.
            threading.Thread(target=self._run, args=(loading, load), name="model-load", daemon=True).start()
        return load

    def _abandon(self, loadings: Iterable[str]) -> None:
        for loading in loadings:
            load = self._loading.pop(loading)
            with self._lock:
                load.wanted = False
                if load.runtime is not None:
                    load.runtime.close()

    def _run(self, loading: str, load: _Load) -> None:
        try:
            with self._places:
                runtime = self._made(loading) if load.wanted else None
            with self._lock:
                load.runtime = runtime
                if runtime is not None and not load.wanted:
                    runtime.close()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the load raises it
            load.error = error
        load.done.set()

    def _made(self, loading: str) -> Runtime:
        if self.residency is not None:
            return self.residency.model(loading)
        package, threads = package_of(loading)
        runtime = self._opened(self._fetch(package), threads)
        try:
            runtime.warm_up()
        except BaseException:
            runtime.close()
            raise
        return runtime
