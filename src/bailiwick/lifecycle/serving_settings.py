"""How versions are run where they are served: kept by the registry, told by route tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from bailiwick.core.serving_setting import ServingSetting
from bailiwick.registry.service import RegistryService


class KeptSettings:
    """Satisfies `endpoints.service.ServingSettings`. The registry is made after the endpoints it tells, so it comes late."""

    def __init__(self, registry: Callable[[], RegistryService]) -> None:
        self._registry = registry

    def of_models(self, workspace: str, models: Collection[str]) -> Mapping[tuple[str, int], ServingSetting]:
        """By (model, version); of those that have one."""
        return self._registry().servings(workspace, models)
