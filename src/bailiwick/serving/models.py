"""The loaded packages of a process, by digest: a new one is loaded and warmed up beside the old ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bailiwick.serving.runtime import OnnxRuntime, Runtime
from bailiwick.serving.runtimes.residency import Residency

Opener = Callable[[Path], Runtime]
"""Makes the runtime of a package file."""


class ModelSet:
    """Used by one loading thread; requests hold the runtimes they use, so dropping one never breaks an answer.

    With a `residency` models are known here and held there, as far as its bound allows.
    """

    def __init__(
        self, fetch: Callable[[str], Path], opened: Opener = OnnxRuntime, residency: Residency | None = None
    ) -> None:
        self._fetch = fetch
        self._opened = opened
        self.residency = residency
        self._loaded: dict[str, Runtime] = {}

    @property
    def loaded(self) -> Mapping[str, Runtime]:
        """Runtimes by digest of package."""
        return self._loaded

    def load(self, digest: str) -> Runtime:
        """The warm runtime of a package. Raises InvalidInput, ModelFailed, and what fetching it raises."""
        runtime = self._loaded.get(digest)
        if runtime is None and self.residency is not None:
            runtime = self.residency.model(digest)
            self._loaded[digest] = runtime
        elif runtime is None:
            runtime = self._opened(self._fetch(digest))
            try:
                runtime.warm_up()
            except BaseException:
                runtime.close()
                raise
            self._loaded[digest] = runtime
        return runtime

    def keep(self, digests: Iterable[str]) -> None:
        """Drop every package that is not among these; its memory is freed when the last request is done with it."""
        wanted = frozenset(digests)
        self._loaded = {digest: runtime for digest, runtime in self._loaded.items() if digest in wanted}
        if self.residency is not None:
            self.residency.keep(wanted)

    def close(self) -> None:
        """Give back what every runtime holds: no request comes any more."""
        for runtime in self._loaded.values():
            runtime.close()
        if self.residency is not None:
            self.residency.close()
