"""All of it as one deed: measure, register what was chosen, set what keeps the objective, keep the report."""

from __future__ import annotations

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.optimising.model import Report
from bailiwick.lifecycle.optimising.report import keep, report_of
from bailiwick.lifecycle.optimising.story import Wanted, Watch, optimise, register_form, write_setting
from bailiwick.lifecycle.platform import Platform


def carry_out(
    platform: Platform,
    actor: Actor,
    model: str,
    number: int,
    labelled: Labelled,
    wanted: Wanted,
    *,
    watch: Watch = lambda _, __: None,
) -> Report:
    """Nothing is written before everything is measured, and what is written may be written again: a repeated deed ends
    with the same version and setting. Raises CheckFailed where the form to register may be worse.
    """
    found = optimise(platform, actor, model, number, labelled, wanted, watch=watch)
    made = register_form(platform, actor, found, wanted.form) if wanted.form else None
    if found.setting is not None:
        write_setting(platform, actor, made or found.version, found.setting)
    report = report_of(found, wanted, time=platform.records.clock(), registered=made)
    keep(platform, actor, report)
    return report
