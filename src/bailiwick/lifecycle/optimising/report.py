"""What was measured, put down and kept with the version."""

from __future__ import annotations

import platform as machine
from dataclasses import replace

import msgspec
import onnxruntime

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.optimising.model import Report
from bailiwick.lifecycle.optimising.story import Optimised, Wanted
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from bailiwick.serving.runtime import threads_here


def report_of(found: Optimised, wanted: Wanted, *, time: int, registered: ModelVersion | None = None) -> Report:
    """Without the packages."""
    return Report(
        model=found.version.model,
        version=found.version.number,
        time=time,
        machine=f"{machine.machine()} {machine.system()}, ONNX Runtime {onnxruntime.__version__}",
        cores=threads_here(1 << 20),
        rows=found.rows,
        metric=found.metric,
        margin=found.margin,
        forms=tuple(replace(each, package=None) for each in found.forms),
        swept=found.swept,
        settings=found.settings,
        seconds=wanted.seconds,
        p99_ms=wanted.p99_ms,
        setting=found.setting,
        kept=found.kept,
        registered=None if registered is None else registered.number,
    )


def keep(platform: Platform, actor: Actor, report: Report) -> bool:
    """Have it be the newest report on its version, and on the one that was registered; False for who may not write."""
    if Permission.MODELS_WRITE not in actor.permissions:
        return False
    digest = platform.blobs.put(msgspec.json.encode(report))
    for number in {report.version, report.registered or report.version}:
        platform.registry.keep_report(actor, report.model, number, digest)
    return True
