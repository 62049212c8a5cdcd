"""The only place that joins parts: Settings → Platform. Plain constructor calls, no registry, no globals."""

from __future__ import annotations

from bailiwick.core.clock import Clock, system_clock
from bailiwick.core.settings import Settings
from bailiwick.data.service import DataService
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.service import EndpointService
from bailiwick.governance.service import GovernanceService
from bailiwick.governance.statements import StatementService
from bailiwick.lifecycle.platform import Platform
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
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.tracking.service import TrackingService


def open_platform(settings: Settings, clock: Clock = system_clock) -> Platform:
    """Open (and, if need be, create and migrate) the state that `settings` names, and join all services to it."""
    database = Database(settings.sql_url)
    migrate(database)
    records = Records(database, clock)
    blobs = BlobStore(settings.blobs_root)
    tables = DeltaTables(settings.tables_root)
    log = PredictionLog(tables)
    governance = GovernanceService(records)
    registry = RegistryService(records, governance, blobs)
    endpoints = EndpointService(records)
    pipelines = PipelineService(records)
    return Platform(
        settings=settings,
        database=database,
        records=records,
        blobs=blobs,
        tables=tables,
        duties=DutyBoard(database, clock),
        identities=IdentityService(records),
        journal=JournalReader(database),
        data=DataService(records, tables, blobs),
        tracking=TrackingService(records),
        registry=registry,
        governance=governance,
        statements=StatementService(records, registry),
        endpoints=endpoints,
        log=log,
        projects=ProjectService(records),
        pipelines=pipelines,
        triggers=TriggerService(records, pipelines),
        rollouts=RolloutService(records, endpoints, log),
        monitors=MonitorService(records, log),
    )
