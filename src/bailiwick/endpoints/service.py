"""The verbs of endpoints: deploy a version, split traffic, and tell the data plane what to route by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from sqlalchemy import Row, Select, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.core.serving_setting import ServingSetting
from bailiwick.endpoints.model import (
    BASIS_POINTS,
    NO_POLICY,
    ROLLED_BACK,
    ROUTE_FORMAT,
    Endpoint,
    Policy,
    RouteChange,
    RouteTable,
    Variant,
    is_endpoint_name,
    served_before,
)
from bailiwick.endpoints.policy import check_policy
from bailiwick.endpoints.recording import EVERYTHING_KEPT, Recording, checked
from bailiwick.endpoints.tables import changes, endpoints, revisions
from bailiwick.store.records import Change, Records

MAX_VARIANTS = 16
MAX_REASON = 5_000

_VARIANTS = msgspec.json.Decoder(tuple[Variant, ...])
_POLICY = msgspec.json.Decoder(Policy)
_RECORDING = msgspec.json.Decoder(Recording)


class PersonalColumns(Protocol):
    """Knows which inputs of a model version hold personal data, by the schema of the data that it learnt from."""

    def of_version(self, workspace: str, model: str, version: int) -> frozenset[str]:
        """Names of the columns; none where nothing is known."""
        ...


class NoneMarked:
    """For installations, and tests, without schemas."""

    def of_version(self, workspace: str, model: str, version: int) -> frozenset[str]:  # noqa: ARG002 - the port's shape
        """Nothing."""
        return frozenset()


class ServingSettings(Protocol):
    """Knows how model versions are to be run."""

    def of_models(self, workspace: str, models: Collection[str]) -> Mapping[tuple[str, int], ServingSetting]:
        """Of the versions of these models that are to be run otherwise than others, by (model, version)."""
        ...


class NoneSet:
    """For installations, and tests, without settings."""

    def of_models(self, workspace: str, models: Collection[str]) -> Mapping[tuple[str, int], ServingSetting]:  # noqa: ARG002 - the port's shape
        """Nothing."""
        return {}


class EndpointService:
    """Endpoints of every workspace. Each change of traffic is one epoch of the endpoint and one revision of the workspace."""

    def __init__(
        self, records: Records, personal: PersonalColumns | None = None, settings: ServingSettings | None = None
    ) -> None:
        self._records = records
        self._personal = personal or NoneMarked()
        self._settings = settings or NoneSet()

    def deploy(
        self,
        actor: Actor,
        name: str,
        *,
        model: str,
        version: int,
        package: str,
        key: str = "",
        time: str = "",
        policy: Policy | None = None,
        recording: Recording | None = None,
    ) -> Endpoint:
        """Create the endpoint, or give this version all of its traffic; repeating it changes nothing.

        An empty `key` or `time` keeps what the endpoint has. A new endpoint has `policy` and `recording` from its first
        request on; one that is there keeps its own.
        """
        _check_name(name)
        begun = _Begun(policy or NO_POLICY, checked(recording or EVERYTHING_KEPT))
        check_policy(begun.policy)
        only = (Variant(name=f"v{version}", model=model, version=version, package=package, weight=BASIS_POINTS),)
        existing = self._find(actor.workspace, name)
        wanted = _wanted(existing, name, only, begun, key=key, time=time)
        if wanted == existing:
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return wanted
        reason = f"deploy {model} version {version}"
        marked = self._marked(actor.workspace, only)
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            row = change.execute(_select_one(change.workspace, name)).first()
            current = _endpoint(row) if row else None
            coming = _wanted(current, name, only, begun, key=key, time=time)
            changed = _write(change, current, coming, reason, marked)
            change.record("endpoint.deployed", f"endpoint/{name}", **_detail(changed, reason))
            if current is None:
                _record_begun(change, changed, begun, reason)
        return changed

    def set_variants(self, actor: Actor, name: str, variants: Sequence[Variant], *, reason: str) -> Endpoint:
        """Split the endpoint's traffic: a new epoch. Repeating the present split changes nothing. Raises NotFound."""
        split = tuple(variants)
        _check_variants(split)
        present = self.endpoint(actor.workspace, name)
        if present.variants == split:
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return present
        marked = self._marked(actor.workspace, split)
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            changed = _write(change, current, msgspec.structs.replace(current, variants=split), reason, marked)
            change.record("endpoint.traffic_set", f"endpoint/{name}", **_detail(changed, reason))
        return changed

    def roll_back(self, actor: Actor, name: str, wanted: Variant, *, reason: str) -> Endpoint:
        """Give all traffic to a version that had it before (see `served_before`). Raises NotFound, InvalidInput without a reason."""
        if not reason.strip():
            raise InvalidInput(f"Rolling back endpoint {name!r} needs a reason; say what went wrong.")
        self.endpoint(actor.workspace, name)
        why = f"{ROLLED_BACK}{reason.strip()}"[:MAX_REASON]
        marked = self._marked(actor.workspace, (wanted,))
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            only = (msgspec.structs.replace(wanted, weight=BASIS_POINTS),)
            changed = _write(change, current, msgspec.structs.replace(current, variants=only), why, marked)
            change.record("endpoint.rolled_back", f"endpoint/{name}", **_detail(changed, why))
        return changed

    def set_recording(self, actor: Actor, name: str, recording: Recording, *, reason: str = "") -> Endpoint:
        """Say what of the endpoint's predictions is kept from now on; the same again changes nothing.

        It is no change of traffic, so the epoch stays. Columns that are known to be personal stay known, whatever
        `recording.personal` says. Raises NotFound, InvalidInput.
        """
        wanted = checked(recording)
        present = self.endpoint(actor.workspace, name).recording
        if msgspec.structs.replace(wanted, personal=present.personal) == present:
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return self.endpoint(actor.workspace, name)
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            kept = msgspec.structs.replace(wanted, personal=current.recording.personal)
            values = {"recording": msgspec.json.encode(kept).decode(), "updated": change.time}
            chosen = (endpoints.c.workspace == change.workspace) & (endpoints.c.name == name)
            change.execute(update(endpoints).where(chosen).values(**values))
            _record_recording(change, name, current.recording, kept, reason)
        return msgspec.structs.replace(current, recording=kept)

    def set_policy(self, actor: Actor, name: str, policy: Policy, *, reason: str) -> Endpoint:
        """Have this policy in force, whole; the split and its epoch stay. Repeating it changes nothing.

        Fallbacks to the `previous` version follow the endpoint's history from now on. Raises NotFound, InvalidInput.
        """
        check_policy(policy)
        present = self.endpoint(actor.workspace, name)
        if _unresolved(present.policy) == _unresolved(policy):
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return present
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            wanted = _with_previous(change, msgspec.structs.replace(current, policy=policy))
            chosen = (endpoints.c.workspace == change.workspace) & (endpoints.c.name == name)
            encoded = msgspec.json.encode(wanted.policy).decode()
            change.execute(update(endpoints).where(chosen).values(policy=encoded, updated=change.time))
            _record_policy(change, wanted, reason)
        return wanted

    def endpoint(self, workspace: str, name: str) -> Endpoint:
        """One endpoint. Raises NotFound naming those that exist."""
        found = self._find(workspace, name)
        if found is None:
            raise NotFound.of("Endpoint", name, [known.name for known in self.endpoints(workspace)])
        return found

    def endpoints(self, workspace: str) -> list[Endpoint]:
        """Every endpoint, by name."""
        with self._records.read() as connection:
            rows = connection.execute(select(endpoints).where(endpoints.c.workspace == workspace))
            return sorted((_endpoint(row) for row in rows), key=lambda found: found.name)

    def route_table(self, workspace: str) -> RouteTable:
        """What a data-plane process routes by, as one consistent revision."""
        with self._records.read() as connection:
            # The revision is read first: a table that is newer than its number is only fetched again.
            revision = connection.scalar(_select_revision(workspace)) or 0
            rows = connection.execute(select(endpoints).where(endpoints.c.workspace == workspace))
            found = sorted((_endpoint(row) for row in rows), key=lambda endpoint: endpoint.name)
        models = {variant.model for endpoint in found for variant in endpoint.every_variant}
        settings = {
            version: msgspec.structs.replace(setting, why="")
            for version, setting in self._settings.of_models(workspace, models).items()
        }
        told = tuple(endpoint.with_settings(settings) for endpoint in found)
        return RouteTable(format=ROUTE_FORMAT, revision=revision, endpoints=told)

    def setting_changed(self, change: Change) -> None:
        """How a version is run has changed as part of `change`: have workers ask for the route table."""
        _next_revision(change)

    def revision(self, workspace: str) -> int:
        """The workspace's routing revision, 0 before the first deploy: one indexed row, cheap enough to poll."""
        with self._records.read() as connection:
            return connection.scalar(_select_revision(workspace)) or 0

    def history(self, workspace: str, name: str) -> list[RouteChange]:
        """Every change of the endpoint's traffic, oldest first. Raises NotFound."""
        self.endpoint(workspace, name)
        chosen = (changes.c.workspace == workspace) & (changes.c.endpoint == name)
        with self._records.read() as connection:
            rows = connection.execute(select(changes).where(chosen).order_by(changes.c.epoch))
            return [_route_change(row) for row in rows]

    def appearances(
        self, workspace: str, model: str, version: int, *, limit: int = 100
    ) -> list[tuple[str, RouteChange]]:
        """The newest changes, of any endpoint, that gave a model version traffic: (endpoint, change), newest first."""
        asked = msgspec.json.encode({"model": model, "version": version}).decode()[1:-1] + ","
        query = select(changes).where(
            changes.c.workspace == workspace, changes.c.variants.contains(asked, autoescape=True)
        )
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(changes.c.time.desc(), changes.c.epoch.desc())).all()
        found = [(row.endpoint, _route_change(row)) for row in rows]
        # SQLite does not tell capitals apart here, so the names are compared once more.
        return [each for each in found if any((v.model, v.version) == (model, version) for v in each[1].variants)][
            :limit
        ]

    def endpoints_of(self, workspace: str, model: str) -> list[str]:
        """Names of the endpoints that give any version of a model traffic, or ever did."""
        asked = msgspec.json.encode({"model": model}).decode()[1:-1] + ","
        here = (changes.c.workspace == workspace, changes.c.variants.contains(asked, autoescape=True))
        with self._records.read() as connection:
            rows = connection.execute(select(changes.c.endpoint, changes.c.variants).where(*here)).all()
        # SQLite does not tell capitals apart here, so the names are compared once more.
        return sorted({row.endpoint for row in rows if any(v.model == model for v in _VARIANTS.decode(row.variants))})

    def _marked(self, workspace: str, variants: Iterable[Variant]) -> frozenset[str]:
        """Inputs with personal data; asked before a change is begun, since it is asked of other records."""
        versions = {(each.model, each.version) for each in variants}
        return frozenset().union(*(self._personal.of_version(workspace, *version) for version in versions))

    def _find(self, workspace: str, name: str) -> Endpoint | None:
        with self._records.read() as connection:
            row = connection.execute(_select_one(workspace, name)).first()
        return _endpoint(row) if row else None


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a new endpoint begins with."""

    policy: Policy
    recording: Recording


def _wanted(
    current: Endpoint | None, name: str, variants: tuple[Variant, ...], begun: _Begun, *, key: str, time: str
) -> Endpoint:
    if current is None:
        return Endpoint(name, new_id(), 0, variants, key, time, begun.recording, begun.policy)
    return msgspec.structs.replace(current, variants=variants, key=key or current.key, time=time or current.time)


def _write(
    change: Change, current: Endpoint | None, wanted: Endpoint, reason: str, personal: frozenset[str]
) -> Endpoint:
    marked = tuple(sorted(personal | set(wanted.recording.personal)))
    recording = msgspec.structs.replace(wanted.recording, personal=marked)
    changed = msgspec.structs.replace(wanted, epoch=wanted.epoch + 1, recording=recording)
    coming = RouteChange(change.time, change.actor.name, reason, changed.epoch, changed.variants)
    changed = _with_previous(change, changed, coming)
    encoded = msgspec.json.encode(changed.variants).decode()
    values = {
        "epoch": changed.epoch,
        "variants": encoded,
        "key": changed.key,
        "time": changed.time,
        "policy": msgspec.json.encode(changed.policy).decode(),
        "updated": change.time,
        "recording": msgspec.json.encode(changed.recording).decode(),
    }
    if current is None:
        change.execute(
            insert(endpoints).values(
                workspace=change.workspace, name=changed.name, salt=changed.salt, created=change.time, **values
            )
        )
    else:
        chosen = (endpoints.c.workspace == change.workspace) & (endpoints.c.name == changed.name)
        change.execute(update(endpoints).where(chosen).values(**values))
    change.execute(
        insert(changes).values(
            workspace=change.workspace,
            endpoint=changed.name,
            epoch=changed.epoch,
            time=change.time,
            actor=change.actor.name,
            reason=reason,
            variants=encoded,
        )
    )
    return changed


def _record_begun(change: Change, made: Endpoint, begun: _Begun, reason: str) -> None:
    """Entries like those of changes that came later, so that nobody needs to look in two places."""
    if begun.policy != NO_POLICY:
        _record_policy(change, made, reason)
    if begun.recording != EVERYTHING_KEPT:
        _record_recording(change, made.name, EVERYTHING_KEPT, made.recording, reason)


def _record_policy(change: Change, after: Endpoint, reason: str) -> None:
    told = {"reason": reason[:MAX_REASON], "policy": msgspec.to_builtins(after.policy)}
    change.record("endpoint.policy_set", f"endpoint/{after.name}", **told)


def _record_recording(change: Change, name: str, before: Recording, after: Recording, reason: str) -> None:
    told = {"before": msgspec.to_builtins(before), "after": msgspec.to_builtins(after)}
    change.record("endpoint.recording_set", f"endpoint/{name}", reason=reason[:MAX_REASON], **told)


def _with_previous(change: Change, wanted: Endpoint, *coming: RouteChange) -> Endpoint:
    """With each fallback to the previous version naming which that is, once what is `coming` is history too."""
    policy = wanted.policy
    if not any(fallback.previous for fallback in policy.fallbacks):
        return wanted
    mine = (changes.c.workspace == change.workspace) & (changes.c.endpoint == wanted.name)
    rows = change.execute(select(changes).where(mine).order_by(changes.c.epoch)).all()
    history = [*(_route_change(row) for row in rows), *coming]
    before = served_before(history)
    found = None
    if before:
        served = [each for past in history for each in past.variants if (each.model, each.version) == before[-1]]
        found = msgspec.structs.replace(served[-1], weight=0)
    fallbacks = tuple(
        msgspec.structs.replace(each, variant=found) if each.previous else each for each in policy.fallbacks
    )
    return msgspec.structs.replace(wanted, policy=msgspec.structs.replace(policy, fallbacks=fallbacks))


def _unresolved(policy: Policy) -> Policy:
    """As people state it: which version the previous one is follows from the history."""
    fallbacks = tuple(
        msgspec.structs.replace(each, variant=None) if each.previous else each for each in policy.fallbacks
    )
    return msgspec.structs.replace(policy, fallbacks=fallbacks)


def _next_revision(change: Change) -> None:
    """Taken before anything is read: the row's lock puts changes of one workspace in order."""
    mine = revisions.c.workspace == change.workspace
    bumped = change.execute(update(revisions).where(mine).values(revision=revisions.c.revision + 1))
    if not bumped.rowcount:
        change.execute(insert(revisions).values(workspace=change.workspace, revision=1))


def _select_one(workspace: str, name: str) -> Select[Any]:
    return select(endpoints).where(endpoints.c.workspace == workspace, endpoints.c.name == name)


def _select_revision(workspace: str) -> Select[Any]:
    return select(revisions.c.revision).where(revisions.c.workspace == workspace)


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        name=row.name,
        salt=row.salt,
        epoch=row.epoch,
        variants=_VARIANTS.decode(row.variants),
        key=row.key,
        time=row.time,
        recording=_RECORDING.decode(row.recording),
        policy=_POLICY.decode(row.policy),
    )


def _route_change(row: Row[Any]) -> RouteChange:
    return RouteChange(row.time, row.actor, row.reason, row.epoch, _VARIANTS.decode(row.variants))


def _detail(endpoint: Endpoint, reason: str) -> dict[str, object]:
    return {
        "epoch": endpoint.epoch,
        "reason": reason,
        "variants": msgspec.to_builtins(endpoint.variants),
    }


def _check_name(name: str) -> None:
    if not is_endpoint_name(name):
        raise InvalidInput(
            f"Endpoint name {name!r} cannot be used: 1 to 100 of a-z 0-9 _ . - , beginning with a letter or digit."
        )


def _check_variants(variants: tuple[Variant, ...]) -> None:
    if not 1 <= len(variants) <= MAX_VARIANTS:
        raise InvalidInput(f"An endpoint has 1 to {MAX_VARIANTS} variants, not {len(variants)}.")
    names = [variant.name for variant in variants]
    if len(set(names)) != len(names):
        raise InvalidInput(f"Variant names must differ: {', '.join(names)}.")
    weights = [variant.weight for variant in variants]
    if min(weights) < 0 or sum(weights) != BASIS_POINTS:
        raise InvalidInput(
            f"Weights {weights} must be basis points from 0 that sum to {BASIS_POINTS}; they sum to {sum(weights)}."
        )
