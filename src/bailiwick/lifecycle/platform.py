"""All services as one value, so that a story that needs many domains takes one argument. `app.py` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bailiwick.core.settings import Settings
from bailiwick.data.service import DataService
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.service import EndpointService
from bailiwick.governance.service import GovernanceService
from bailiwick.governance.statements import StatementService
from bailiwick.monitoring.service import MonitorService
from bailiwick.pipelines.projects import ProjectService
from bailiwick.pipelines.service import PipelineService
from bailiwick.pipelines.triggers import TriggerService
from bailiwick.registry.service import RegistryService
from bailiwick.rollout.service import RolloutService
from bailiwick.security.service import IdentityService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.delta import DeltaTables
from bailiwick.store.duties import DutyBoard
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.records import Records
from bailiwick.tracking.service import TrackingService


@dataclass(frozen=True, slots=True)
class Platform:
    """Every service, joined. Made by `open_platform`; closed once, by whoever opened it."""

    settings: Settings
    database: Database
    records: Records
    blobs: BlobStore
    tables: DeltaTables
    duties: DutyBoard
    identities: IdentityService
    journal: JournalReader
    data: DataService
    tracking: TrackingService
    registry: RegistryService
    governance: GovernanceService
    statements: StatementService
    endpoints: EndpointService
    log: PredictionLog
    projects: ProjectService
    pipelines: PipelineService
    triggers: TriggerService
    rollouts: RolloutService
    monitors: MonitorService

    @property
    def journal_folder(self) -> Path:
        """Where the journal's tiles and signed checkpoint are published."""
        return self.settings.home.resolve() / "journal"

    @property
    def keys_folder(self) -> Path:
        """Where this installation keeps its own keys (mode 0600)."""
        return self.settings.home.resolve() / "keys"

    def close(self) -> None:
        """Give back database connections."""
        self.database.close()
