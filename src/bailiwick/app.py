"""The only place that joins parts: Settings → Platform. Plain constructor calls, no registry, no globals."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.adapters.engines import open_engine
from bailiwick.core.clock import Clock, system_clock
from bailiwick.core.settings import Settings
from bailiwick.data.service import DataService
from bailiwick.endpoints.log import PredictionLogs
from bailiwick.endpoints.service import EndpointService
from bailiwick.governance.service import GovernanceService
from bailiwick.governance.statements import StatementService
from bailiwick.lifecycle.events.cloudevents import CloudEventsFormat
from bailiwick.lifecycle.events.facts import RegistryFacts
from bailiwick.lifecycle.events.messages import ChatFormat, MailFormat
from bailiwick.lifecycle.events.mlflow import MlflowFormat
from bailiwick.lifecycle.events.openlineage import OpenLineageFormat
from bailiwick.lifecycle.origins import Dependents, KeptArtifacts, TrackedOrigins
from bailiwick.lifecycle.personal import MarkedInputs
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.serving_settings import KeptSettings
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
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts.service import ArtifactService
from bailiwick.tracking.imports.service import ImportService
from bailiwick.tracking.lineage.service import RunLineageService
from bailiwick.tracking.logged_models.service import LoggedModelService
from bailiwick.tracking.service import TrackingService
from bailiwick.webhooks.address import AddressRules
from bailiwick.webhooks.mail import MailServer
from bailiwick.webhooks.outbox import Outbox
from bailiwick.webhooks.sender import Sender
from bailiwick.webhooks.service import WebhookService
from bailiwick.webhooks.vault import Vault


# budget: one constructor a part
def open_platform(settings: Settings, clock: Clock = system_clock) -> Platform:
    """Open (and, if need be, create and migrate) the state that `settings` names, and join all services to it."""
    database = Database(settings.sql_url)
    migrate(database)
    records = Records(database, clock)
    blobs = BlobStore(settings.blobs_root)
    artifact_blobs = BlobStore(settings.artifact_blobs_root, incoming=settings.home.resolve() / "incoming")
    tables = DeltaTables(settings.tables_root)
    logs = PredictionLogs(tables)
    governance = GovernanceService(records)
    data = DataService(records, tables, blobs)
    endpoints = EndpointService(records, MarkedInputs(lambda: registry, data, blobs), KeptSettings(lambda: registry))
    workspaces = WorkspaceService(records)
    pipelines = PipelineService(records)
    projects = ProjectService(records)
    tracking = TrackingService(records, artifact_root=settings.artifact_root)
    logged_models = LoggedModelService(records, artifact_root=settings.artifact_root)
    artifacts = ArtifactService(
        records,
        artifact_blobs,
        destination=settings.artifacts_destination,
        direct=settings.artifact_root,
        signed_seconds=settings.signed_url_seconds,
        own_root=workspaces.artifact_root,
    )
    registry = RegistryService(
        records,
        governance,
        blobs,
        origins=TrackedOrigins(tracking, logged_models),
        artifacts=KeptArtifacts(artifacts),
        references=Dependents(endpoints, projects, governance),
        followers=(governance,),
        served_by=(endpoints,),
    )
    openlineage = OpenLineageFormat(tracking, data, registry, pipelines)
    formats = (MlflowFormat(RegistryFacts(registry)), CloudEventsFormat(), openlineage, MailFormat(), ChatFormat())
    vault = Vault(settings.home.resolve() / "keys")
    mail = MailServer.of(settings.smtp_url, settings.mail_from)
    sender = Sender(AddressRules(private=settings.webhooks_private, plain=settings.webhooks_plain), mail=mail)
    return Platform(
        settings=settings,
        database=database,
        records=records,
        blobs=blobs,
        tables=tables,
        duties=DutyBoard(database, clock),
        identities=IdentityService(records),
        workspaces=workspaces,
        journal=JournalReader(database),
        data=data,
        open_engine=open_engine,
        tracking=tracking,
        logged_models=logged_models,
        run_lineage=RunLineageService(records, data),
        artifacts=artifacts,
        imports=ImportService(records, artifact_root=settings.artifact_root),
        registry=registry,
        governance=governance,
        statements=StatementService(records, registry),
        endpoints=endpoints,
        logs=logs,
        inbox=SpoolInbox(
            lambda workspace: replace(settings, workspace=workspace).spool_root, limit_bytes=settings.spool_bytes
        ),
        projects=projects,
        pipelines=pipelines,
        triggers=TriggerService(records, pipelines),
        rollouts=RolloutService(records, endpoints, logs),
        monitors=MonitorService(records, logs),
        serving_watch=ServingWatch(records),
        data_alarms=DataAlarms(records),
        webhooks=WebhookService(records, vault, sender, formats),
        outbox=Outbox(records, vault, formats),
        sender=sender,
        openlineage=openlineage,
    )
