"""One pass over everything that must happen by itself, in the order in which one thing leads to the next:
predictions are shipped, windows evaluated, rollouts decided, overdue approvals closed, alarms answered, approved versions
released, runs executed, and the journal's new entries integrated; every few hours, what no artifact refers to is
collected. The files of new versions are read beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.digesting import DigestReader
from bailiwick.lifecycle.explaining.kept import FOLDER, KeptExplanations
from bailiwick.lifecycle.measuring import Measurer
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.promotion import close_expired
from bailiwick.lifecycle.release import release_proposed, settle_promotions
from bailiwick.lifecycle.retraining import retrain_on_alarms, retrain_on_schedule
from bailiwick.serving.shipper import Shipper
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer

log = logging.getLogger("bailiwick.duties")

Story = Callable[[], list[str]]
LOOK_SECONDS = 2.0
FULL_SECONDS = 5.0
COLLECT_SECONDS = 6 * 3600.0


class Runner(Protocol):
    """Executes pipeline runs outside this process."""

    @property
    def busy(self) -> bool:
        """Whether a run is being executed."""

    def execute(self, run_id: str) -> None:
        """Begin executing a run; does nothing while busy."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: whether anything moved, whether everything was looked at, and the troubles met, in words."""

    moved: bool
    whole: bool
    troubles: tuple[str, ...]


class Duties:
    """Everything a `work` process does, as one repeatable pass; each part may fail without holding up the others."""

    def __init__(self, platform: Platform, actor: Actor, runner: Runner) -> None:
        self._platform = platform
        self._actor = actor
        self._runner = runner
        log_of_workspace = platform.logs.of(actor.workspace)
        self._shipper = Shipper(platform.settings.spool_root, log_of_workspace, platform.pseudonyms)
        signer = Signer.in_folder(platform.keys_folder)
        self._measurer = Measurer(platform)
        self._sequencer = Sequencer(platform.database, platform.journal_folder, signer)
        self._digests = DigestReader(platform, actor)
        self._unseen = True
        self._looked = self._full = 0.0
        self._collected = time.monotonic()
        self._head = -1

    def make_pass(self) -> Pass:
        """Do what is due. Nothing new in the journal and nothing shipped means nothing to do, until the next full pass.

        While predictions keep streaming in, windows and rollouts are looked at every two seconds only; the pass counts
        as whole when they were.
        """
        troubles: list[str] = []
        watched = self._attempt("watching serving", self._watch_serving, troubles)
        shipped = self._attempt("shipping predictions", self._ship, troubles)
        self._unseen = self._unseen or bool(shipped)
        now = time.monotonic()
        if not (self._unseen or self._changed() or now - self._full > FULL_SECONDS):
            return Pass(moved=bool(watched), whole=True, troubles=tuple(troubles))
        self._full = now
        look = not shipped or now - self._looked > LOOK_SECONDS
        happened: list[str] = list(watched)
        if look:
            self._looked, self._unseen = now, False
            happened += self._attempt("monitoring", self._monitor, troubles)
            happened += self._attempt("rollouts", self._roll_out, troubles)
        happened += self._attempt("approvals", self._expire, troubles)
        happened += self._attempt("contents of versions", self._measurer.step, troubles)
        happened += self._attempt("promotion", lambda: settle_promotions(self._platform, self._actor), troubles)
        happened += self._attempt("retraining", self._retrain, troubles)
        happened += self._attempt("release", lambda: release_proposed(self._platform, self._actor), troubles)
        happened += self._attempt("pipeline runs", self._execute_runs, troubles)
        self._attempt("digests", self._read_digests, troubles)
        if now - self._collected > COLLECT_SECONDS:
            self._collected = now
            happened += self._attempt("artifacts", self._collect, troubles)
        integrated = self._attempt("journal", self._integrate, troubles)
        # What has just been decided may call for the next decision.
        self._unseen = self._unseen or bool(happened) or bool(troubles)
        for event in happened:
            log.info("%s", event)
        return Pass(moved=bool(shipped or happened or integrated), whole=look, troubles=tuple(troubles))

    def _changed(self) -> bool:
        """Whether anything was journalled since the last pass that asked."""
        before, self._head = self._head, self._platform.journal.head()
        return self._head != before

    def _attempt(self, what: str, story: Story, troubles: list[str]) -> list[str]:
        try:
            return story()
        except BailiwickError as error:
            log.warning("%s: %s", what, error)
            troubles.append(f"{what}: {error}")
        except Exception as error:  # a process edge: one duty's fault must not end the others
            log.exception("%s failed", what)
            troubles.append(f"{what}: {type(error).__name__}: {error}")
        return []

    def _ship(self) -> list[str]:
        rows = self._shipper.ship()
        return [f"shipped {rows} rows"] if rows else []

    def _monitor(self) -> list[str]:
        return [
            f"evaluated window {window.id} of endpoint {endpoint.name}: {window.status}"
            for endpoint in self._platform.endpoints.endpoints(self._actor.workspace)
            for window in self._platform.monitors.evaluate_due(self._actor, endpoint.name)
        ]

    def _watch_serving(self) -> list[str]:
        """In every pass: an endpoint that is down is told of at once."""
        names = [endpoint.name for endpoint in self._platform.endpoints.endpoints(self._actor.workspace)]
        return self._platform.serving_watch.judge(self._actor, names)

    def _expire(self) -> list[str]:
        return close_expired(self._platform)

    def _roll_out(self) -> list[str]:
        done = []
        for rollout in self._platform.rollouts.rollouts(self._actor.workspace):
            if rollout.status == "RUNNING":
                after = self._platform.rollouts.advance(self._actor, rollout.id)
                if (after.status, after.step) != (rollout.status, rollout.step):
                    done.append(f"rollout {rollout.id}: {after.status} at step {after.step}")
        return done

    def _retrain(self) -> list[str]:
        return [
            *retrain_on_alarms(self._platform, self._actor),
            *retrain_on_schedule(self._platform, self._actor),
        ]

    def _execute_runs(self) -> list[str]:
        if self._runner.busy:
            return []
        for run in reversed(self._platform.pipelines.runs(self._actor.workspace, limit=50)):
            if not run.status.is_over and run.trigger != "manual":
                self._runner.execute(run.id)
                return [f"executing run {run.id}"]
        return []

    def _read_digests(self) -> list[str]:
        self._digests.look()
        return []

    def _collect(self) -> list[str]:
        found = self._platform.artifacts.collect_garbage(self._actor)
        explanations = KeptExplanations(self._platform.settings.home.resolve() / FOLDER).prune()
        if explanations:
            log.info("removed %d kept explanations", explanations)
        removed = found.blobs + found.uploads
        return [f"collected {found.blobs} blobs and {found.uploads} unfinished uploads"] if removed else []

    def _integrate(self) -> list[str]:
        count = self._sequencer.integrate()
        return [f"integrated {count} journal entries"] if count else []
