"""The loaded packages of a process, by digest: a new one is loaded and warmed up beside the old ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bailiwick.serving.runtime import OnnxRuntime


class ModelSet:
    """Used by one loading thread; requests hold the runtimes they use, so dropping one never breaks an answer."""

    def __init__(self, fetch: Callable[[str], Path]) -> None:
        self._fetch = fetch
        self._loaded: dict[str, OnnxRuntime] = {}

    @property
    def loaded(self) -> Mapping[str, OnnxRuntime]:
        """Runtimes by digest of package."""
        return self._loaded

    def load(self, digest: str) -> OnnxRuntime:
        """The warm runtime of a package. Raises InvalidInput, ModelFailed, and what fetching it raises."""
        runtime = self._loaded.get(digest)
        if runtime is None:
            runtime = OnnxRuntime(self._fetch(digest))
            runtime.warm_up()
            self._loaded[digest] = runtime
        return runtime

    def keep(self, digests: Iterable[str]) -> None:
        """Drop every package that is not among these; its memory is freed when the last request is done with it."""
        wanted = frozenset(digests)
        self._loaded = {digest: runtime for digest, runtime in self._loaded.items() if digest in wanted}
