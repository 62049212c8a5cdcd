"""`bailiwick demo`: the whole loop on real flight data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bailiwick.core.settings import load_settings


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Folder to play in; an earlier demo there is cleared away.")
    ] = Path("bailiwick-demo"),
    fast: Annotated[bool, typer.Option("--fast", help="Play three months instead of ten.")] = False,
    leave: Annotated[bool, typer.Option("--exit", help="Stop the server at the end.")] = False,
    control_port: Annotated[int | None, typer.Option(help="Port of the control plane (8600).")] = None,
    inference_port: Annotated[int | None, typer.Option(help="Port of inference over HTTP (8601).")] = None,
) -> None:
    """Play a year of real flights: the whole loop, in minutes."""
    from bailiwick.demo.screen import Screen
    from bailiwick.demo.story import PROJECT, Demo

    settings = load_settings(
        home=directory.resolve() / PROJECT / ".bailiwick", control_port=control_port, inference_port=inference_port
    )
    Demo(directory, settings, Screen(), fast=fast).play(stay=not leave)
