"""All services as one value, so that a story that needs many domains takes one argument. `app.py` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bailiwick.core.settings import Settings
from bailiwick.data.engines.engine import OpenEngine
from bailiwick.data.service import DataService
from bailiwick.endpoints.log import PredictionLogs
from bailiwick.endpoints.past import PastPredictions
from bailiwick.endpoints.recording import Pseudonyms
from bailiwick.endpoints.service import EndpointService
from bailiwick.governance.service import GovernanceService
from bailiwick.governance.statements import StatementService
from bailiwick.monitoring.data_alarms import DataAlarms
from bailiwick.monitoring.objectives.service import ServingWatch
from bailiwick.monitoring.service import MonitorService
from bailiwick.pipelines.projects import ProjectService
from bailiwick.pipelines.service import PipelineService
from bailiwick.pipelines.triggers import TriggerService
from bailiwick.registry.service import RegistryService
from bailiwick.rollout.service import RolloutService
from bailiwick.security.service import IdentityService
from bailiwick.security.workspaces import WorkspaceService
from bailiwick.serving.inbox import SpoolInbox
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.delta import DeltaTables
from bailiwick.store.duties import DutyBoard
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts.service import ArtifactService
from bailiwick.tracking.imports.service import ImportService
from bailiwick.tracking.lineage.service import RunLineageService
from bailiwick.tracking.logged_models.service import LoggedModelService
from bailiwick.tracking.service import TrackingService
from bailiwick.webhooks.outbox import Outbox
from bailiwick.webhooks.ports import EventFormat
from bailiwick.webhooks.sender import Sender
from bailiwick.webhooks.service import WebhookService


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
    workspaces: WorkspaceService
    journal: JournalReader
    data: DataService
    open_engine: OpenEngine
    tracking: TrackingService
    artifacts: ArtifactService
    logged_models: LoggedModelService
    run_lineage: RunLineageService
    imports: ImportService
    registry: RegistryService
    governance: GovernanceService
    statements: StatementService
    endpoints: EndpointService
    logs: PredictionLogs
    inbox: SpoolInbox
    projects: ProjectService
    pipelines: PipelineService
    triggers: TriggerService
    rollouts: RolloutService
    monitors: MonitorService
    serving_watch: ServingWatch
    data_alarms: DataAlarms
    webhooks: WebhookService
    outbox: Outbox
    sender: Sender
    openlineage: EventFormat

    @property
    def journal_folder(self) -> Path:
        """Where the journal's tiles and signed checkpoint are published."""
        return self.settings.home.resolve() / "journal"

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What hashes the values that prediction logs may not keep; its key is made on first use."""
        return Pseudonyms.in_folder(self.keys_folder)

    def past(self, workspace: str) -> PastPredictions:
        """The predictions of a workspace, one by one."""
        return PastPredictions(self.tables, self.logs.of(workspace), self.pseudonyms)

    @property
    def keys_folder(self) -> Path:
        """Where this installation keeps its own keys (mode 0600)."""
        return self.settings.home.resolve() / "keys"

    def close(self) -> None:
        """Give back database connections, and the spools that are arriving."""
        self.inbox.close()
        self.database.close()
