"""Settings: one frozen object, from defaults < environment `BAILIWICK_*` < flags. Each field is one documented setting."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import quote

from bailiwick.core.errors import InvalidInput

_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,249}", re.ASCII)
LEAST_MODEL_BYTES = 512 << 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set. `docs/reference/settings.md` is generated from the `doc` of each field."""

    home: Path = field(default=Path(".bailiwick"), metadata={"doc": "folder for all state that has no URL of its own"})
    workspace: str = field(default="default", metadata={"doc": "workspace (tenant) to act in"})
    database_url: str = field(
        default="", metadata={"doc": "SQL database; empty means SQLite in `home`; `postgresql://…` for PostgreSQL"}
    )
    blobs_url: str = field(
        default="",
        metadata={"doc": "content-addressed blobs; empty means a folder in `home`; `s3://…`, `gs://…`, `az://…`"},
    )
    tables_url: str = field(
        default="", metadata={"doc": "Delta tables; empty means a folder in `home`; `s3://…`, `gs://…`, `az://…`"}
    )
    artifact_root: str = field(
        default="",
        metadata={
            "doc": "where new experiments of MLflow clients keep artifacts; empty means through the control plane "
            "(`mlflow-artifacts:/`); a URL that clients reach themselves, such as `s3://…`, is used as it is"
        },
    )
    artifacts_destination: str = field(
        default="",
        metadata={
            "doc": "where the control plane keeps artifacts under their own paths: a folder, `s3://…`, `gs://…`, "
            "`az://…`; empty means among the blobs, each content once"
        },
    )
    host: str = field(
        default="127.0.0.1",
        metadata={"doc": "address that control and serve bind to; any but loopback needs `insecure` for now"},
    )
    control_port: int = field(default=8600, metadata={"doc": "port of the control plane: API, UI, metrics, health"})
    inference_port: int = field(default=8601, metadata={"doc": "port of inference over HTTP"})
    grpc_port: int = field(
        default=-1,
        metadata={"doc": "port of inference over gRPC; -1 is the one after `inference_port` (8602), 0 serves none"},
    )
    control_url: str = field(
        default="",
        metadata={
            "doc": "where `serve` finds the control plane, and `track` records; empty means `host`:`control_port`, and for `track` the home"
        },
    )
    serve_workers: int = field(default=1, metadata={"doc": "inference processes on this machine"})
    serve_model_bytes: int = field(
        default=0,
        metadata={
            "doc": "most bytes of models that each inference process holds; more are loaded when they are asked, in place of "
            "those that were used least recently; 0 holds all that endpoints route to"
        },
    )
    serve_load_seconds: int = field(
        default=10,
        metadata={"doc": "longest time that a request waits for a model to be loaded, in seconds; then 503"},
    )
    token: str = field(
        default="", metadata={"doc": "API token to act with; empty means the local administrator, on loopback only"}
    )
    insecure: bool = field(
        default=False, metadata={"doc": "allow binding to an address other than loopback without TLS"}
    )
    spool_bytes: int = field(
        default=1 << 30, metadata={"doc": "most bytes of predictions waiting to be shipped, per worker; then 503"}
    )
    access_log: str = field(
        default="",
        metadata={
            "doc": "file that `serve` writes a JSON line for each inference request to; `-` is standard output; empty means none"
        },
    )
    traces: bool = field(
        default=False,
        metadata={
            "doc": "send a span of OpenTelemetry for each inference request, joined to the caller's trace; where to and how "
            "many is said by `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and the like; needs `bailiwick[traces]`"
        },
    )
    max_body_bytes: int = field(default=64 << 20, metadata={"doc": "largest request body accepted, in bytes"})
    request_seconds: int = field(
        default=60,
        metadata={"doc": "longest time that a client may take to send an inference request, in seconds; then 408"},
    )
    repository_control: bool = field(
        default=False,
        metadata={
            "doc": "let clients of the inference port, which asks nobody who they are, unload endpoints on this machine and "
            "load them again (`/v2/repository/models/…`)"
        },
    )
    server_name: str = field(
        default="bailiwick",
        metadata={
            "doc": "name that inference tells of itself in server metadata; clients that were written for Triton may want "
            "`triton`"
        },
    )
    signed_url_seconds: int = field(
        default=3600,
        metadata={
            "doc": "longest that a URL lasts by which clients reach artifacts in an object store past the control plane; "
            "0 makes none, so that all goes through it"
        },
    )
    max_artifact_bytes: int = field(
        default=1 << 38, metadata={"doc": "largest artifact accepted, in bytes; artifacts are streamed, never held"}
    )
    models_python: str = field(
        default="",
        metadata={
            "doc": "path of the Python that runs models which stay Python, where their libraries are; empty means this "
            "one, or an environment made by `models package --build-environment`"
        },
    )
    models_processes: int = field(
        default=1, metadata={"doc": "processes for each Python model, in each inference process"}
    )
    models_memory_bytes: int = field(
        default=4 << 30,
        metadata={
            "doc": "most addresses of a Python model's process, in bytes, and of the one that a graph is tried in when it is "
            "packaged; a served one that holds half as much in memory is replaced"
        },
    )
    models_seconds: int = field(
        default=30,
        metadata={
            "doc": "longest time that a model may take to answer, in seconds; then a Python one is killed, an ONNX one stopped"
        },
    )
    models_unconfined: bool = field(
        default=False,
        metadata={
            "doc": "load models also where the kernel cannot keep them from this home; they can then read all of it"
        },
    )
    run_diffs: bool = field(
        default=True,
        metadata={
            "doc": "keep with each training run what its code differs in from the commit, up to 1 MiB, and the names of "
            "untracked files; turn it off where edits may hold secrets"
        },
    )
    system_metrics_seconds: int = field(
        default=10,
        metadata={"doc": "time between samples of CPU, memory, disk, network and GPU of a run; 0 takes none"},
    )
    webhooks_private: bool = field(
        default=False,
        metadata={
            "doc": "let webhooks call private addresses, and loopback without TLS; it opens your network to them"
        },
    )
    webhooks_plain: bool = field(
        default=False, metadata={"doc": "let webhooks use `http://`: events travel unencrypted"}
    )
    smtp_url: str = field(
        default="",
        metadata={
            "doc": "mail server for webhooks that are `mailto:` addresses: `smtp://USER:PASSWORD@HOST:587` (STARTTLS where "
            "offered, required with a password) or `smtps://…:465`; empty means that no mail is sent"
        },
    )
    mail_from: str = field(default="", metadata={"doc": "address that mail comes from; needed with `smtp_url`"})
    openlineage_file: str = field(
        default="",
        metadata={"doc": "file that OpenLineage run events are appended to, one JSON line each; empty means none"},
    )

    @property
    def sql_url(self) -> str:
        """`database_url`, or the SQLite file in `home`."""
        return self.database_url or f"sqlite:///{quote(str(self.home.resolve() / 'bailiwick.db'))}"

    @property
    def blobs_root(self) -> str:
        """`blobs_url`, or the folder in `home` as a `file://` URL."""
        return self.blobs_url or (self.home.resolve() / "blobs").as_uri()

    @property
    def artifact_blobs_root(self) -> str:
        """Where artifacts are kept by digest: apart from other blobs, so that what no artifact refers to is garbage."""
        return f"{self.blobs_root.rstrip('/')}/artifacts"

    @property
    def tables_root(self) -> str:
        """`tables_url`, or the folder in `home` as a plain path, as delta-rs wants it."""
        return self.tables_url or str(self.home.resolve() / "tables")

    @property
    def spool_root(self) -> Path:
        """Where inference workers append predictions until they are shipped."""
        return self._serving_root / "spool"

    @property
    def route_cache(self) -> Path:
        """Where inference workers keep the routes and packages they serve by."""
        return self._serving_root / "serve"

    @property
    def _serving_root(self) -> Path:
        """What is served for `default` has always been in the home itself."""
        home = self.home.resolve()
        return home if self.workspace == "default" else home / "workspaces" / self.workspace

    @property
    def control_address(self) -> str:
        """URL of the control plane without a trailing slash."""
        return (self.control_url or f"http://{self.host}:{self.control_port}").rstrip("/")

    @property
    def inference_address(self) -> str:
        """URL of inference over HTTP without a trailing slash."""
        return f"http://{self.host}:{self.inference_port}"

    @property
    def grpc_inference_port(self) -> int:
        """`grpc_port`, or the port after that of inference over HTTP; 0 where gRPC is turned off."""
        return self.inference_port + 1 if self.grpc_port < 0 else self.grpc_port

    @property
    def grpc_address(self) -> str:
        """host:port of inference over gRPC, as its clients take it."""
        return f"{self.host}:{self.grpc_inference_port}"


def load_settings(environment: Mapping[str, str] | None = None, **flags: object) -> Settings:
    """Settings from the environment and flags (None = not given). Raises InvalidInput naming the variable and value."""
    variables = os.environ if environment is None else environment
    chosen: dict[str, object] = {}
    for item in fields(Settings):
        text = variables.get(f"BAILIWICK_{item.name.upper()}")
        if text is not None:
            chosen[item.name] = _parse(f"BAILIWICK_{item.name.upper()}", text, type(item.default))
    chosen.update({name: value for name, value in flags.items() if value is not None})
    settings = replace(Settings(), **chosen)  # type: ignore[arg-type]
    return _checked(settings)


def _parse(name: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in {"0", "1", "true", "false"}:
            raise InvalidInput.choice(name, text, ["0", "1", "true", "false"])
        return text.lower() in {"1", "true"}
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise InvalidInput(f"{name}={text!r} is not a whole number.") from None
    return Path(text) if issubclass(kind, Path) else text


def _checked(settings: Settings) -> Settings:
    _check_ports(settings)
    if not _WORKSPACE.fullmatch(settings.workspace):
        raise InvalidInput(
            f"Workspace {settings.workspace[:100]!r} cannot be one: use up to 250 of A-Z a-z 0-9 . _ -, beginning with a "
            "letter or digit."
        )
    for name, least in (
        ("serve_workers", 1),
        ("request_seconds", 1),
        ("serve_model_bytes", 0),
        ("serve_load_seconds", 1),
        ("models_processes", 1),
        ("models_seconds", 1),
    ):
        if getattr(settings, name) < least:
            raise InvalidInput(f"{name} {getattr(settings, name)} must be at least {least}.")
    if settings.models_memory_bytes < LEAST_MODEL_BYTES:
        raise InvalidInput(
            f"models_memory_bytes {settings.models_memory_bytes} must be at least {LEAST_MODEL_BYTES}: Python itself, "
            "NumPy and pandas need as much."
        )
    if not 0 <= settings.signed_url_seconds <= 604_800:
        raise InvalidInput(f"signed_url_seconds {settings.signed_url_seconds} must be 0 to 604800 (a week).")
    if settings.system_metrics_seconds < 0:
        raise InvalidInput(
            f"system_metrics_seconds {settings.system_metrics_seconds} must be at least 1, or 0 for no system metrics."
        )
    if settings.host not in LOOPBACK and not settings.insecure:
        raise InvalidInput(
            f"Refusing to bind to {settings.host!r}: it can be reached from other machines, and this version has no TLS.",
            hint="Bind to 127.0.0.1 behind a TLS proxy, or pass --insecure if the network is trusted.",
        )
    return settings


def _check_ports(settings: Settings) -> None:
    for name in ("control_port", "inference_port"):
        port = getattr(settings, name)
        if not 0 < port < 65536:
            raise InvalidInput(f"{name} {port} is not a port; choose 1 to 65535.")
    if not -1 <= settings.grpc_port < 65536 or settings.grpc_inference_port >= 65536:
        raise InvalidInput(
            f"grpc_port {settings.grpc_port} is not a port; choose 1 to 65535, -1 for the one after inference_port "
            f"{settings.inference_port}, or 0 for none."
        )
