"""`up`, and each kind of process alone; `doctor`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bailiwick.cli.output import JsonOption, print_json, say
from bailiwick.core.settings import Settings, load_settings

HostOption = Annotated[str | None, typer.Option(help="Address to bind to.")]
ControlPortOption = Annotated[int | None, typer.Option(help="Port of the control plane (8600).")]
InferencePortOption = Annotated[int | None, typer.Option(help="Port of inference over HTTP (8601).")]
GrpcPortOption = Annotated[int | None, typer.Option(help="Port of inference over gRPC (8602); 0 serves none.")]
InsecureOption = Annotated[bool | None, typer.Option("--insecure", help="Allow binding to other than loopback.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(up)
    app.command()(control)
    app.command()(serve)
    app.command()(work)
    app.command()(doctor)


def up(
    host: HostOption = None,
    control_port: ControlPortOption = None,
    inference_port: InferencePortOption = None,
    grpc_port: GrpcPortOption = None,
    workers: Annotated[int | None, typer.Option(help="Inference processes (1).")] = None,
    insecure: InsecureOption = None,
) -> None:
    """Start the whole server. Ctrl-C stops it."""
    from bailiwick.processes.advice import worker_advice
    from bailiwick.processes.supervisor import Supervisor

    settings = load_settings(
        host=host,
        control_port=control_port,
        inference_port=inference_port,
        grpc_port=grpc_port,
        serve_workers=workers,
        insecure=insecure,
    )
    with Supervisor(settings, report=lambda text: say(text, err=True)) as supervisor:
        seconds = supervisor.wait_ready()
        say(f"Bailiwick is up after {seconds:.1f} s. Stop it with Ctrl-C.")
        say(f"  pages and API  {settings.control_address}")
        say(f"  inference      {settings.inference_address}/v2/models/ENDPOINT/infer")
        if settings.grpc_inference_port:
            say(f"  over gRPC      {settings.grpc_address}")
        say(f"  state          {settings.home.resolve()}")
        for line in worker_advice(settings.route_cache / "routes.json", settings.serve_workers):
            say(f"  {line}")
        supervisor.run()
        say("Stopping …")


def control(
    host: HostOption = None,
    port: Annotated[int | None, typer.Option("--port", "--control-port", help="Port of the control plane.")] = None,
    artifact_root: Annotated[str | None, typer.Option(help="Where new experiments keep artifacts.")] = None,
    artifacts_destination: Annotated[
        str | None, typer.Option(help="Where artifacts are kept under their paths.")
    ] = None,
    insecure: InsecureOption = None,
) -> None:
    """Start the control plane alone. API, MLflow protocol, pages, metrics, health."""
    from bailiwick.server.control import run_control

    settings = load_settings(
        host=host,
        control_port=port,
        artifact_root=artifact_root,
        artifacts_destination=artifacts_destination,
        insecure=insecure,
    )
    run_control(_prepared(settings))


def serve(
    host: HostOption = None,
    inference_port: InferencePortOption = None,
    grpc_port: GrpcPortOption = None,
    control_url: Annotated[str | None, typer.Option(help="Where the control plane is.")] = None,
    worker: Annotated[int, typer.Option(min=0, help="Number of this worker on this machine.")] = 0,
    insecure: InsecureOption = None,
) -> None:
    """Start one inference worker. Many may share one port."""
    from bailiwick.processes.advice import worker_advice
    from bailiwick.serving.worker import serve_worker

    settings = load_settings(
        host=host, inference_port=inference_port, grpc_port=grpc_port, control_url=control_url, insecure=insecure
    )
    for line in worker_advice(settings.route_cache / "routes.json"):
        say(line, err=True)
    over = f", over gRPC at {settings.grpc_address}" if settings.grpc_inference_port else ""
    say(f"Worker {worker} answers at {settings.inference_address}{over}. Stop it with Ctrl-C.", err=True)
    say(f"  routes come from {settings.control_address}", err=True)
    serve_worker(_prepared(settings), worker)


def work() -> None:
    """Start one worker: pipelines, monitors, rollouts, journal. Many may share one home."""
    from bailiwick.processes.work import run_work

    run_work(_prepared(load_settings()))


def doctor(json: JsonOption = False) -> None:
    """What is installed, reachable and safe. Exit 1 when something needed is not."""
    from bailiwick.processes.doctor import examine

    findings = examine(load_settings())
    if json:
        print_json(findings)
    else:
        for finding in findings:
            say(f"{finding.mark} {finding.what:<16} {finding.detail}")
    if any(finding.failed for finding in findings):
        sys.exit(1)


def _prepared(settings: Settings) -> Settings:
    """What every long process begins with: the watch on its parent, and the home."""
    from bailiwick.processes.home import make_home
    from bailiwick.processes.parent import stop_with_parent

    stop_with_parent()
    make_home(settings.home.resolve())
    return settings
