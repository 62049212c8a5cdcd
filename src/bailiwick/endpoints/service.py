"""The verbs of endpoints: deploy a version, split traffic, and tell the data plane what to route by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Select, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.endpoints.model import (
    BASIS_POINTS,
    ROLLED_BACK,
    ROUTE_FORMAT,
    Endpoint,
    RouteChange,
    RouteTable,
    Variant,
)
from bailiwick.endpoints.tables import changes, endpoints, revisions
from bailiwick.store.records import Change, Records

MAX_VARIANTS = 16
MAX_REASON = 5_000

_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,99}")
_VARIANTS = msgspec.json.Decoder(tuple[Variant, ...])


class EndpointService:
    """Endpoints of every workspace. Each change of traffic is one epoch of the endpoint and one revision of the workspace."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def deploy(
        self, actor: Actor, name: str, *, model: str, version: int, package: str, key: str = "", time: str = ""
    ) -> Endpoint:
        """Create the endpoint, or give this version all of its traffic; repeating it changes nothing.

        An empty `key` or `time` keeps what the endpoint has.
        """
        _check_name(name)
        only = (Variant(name=f"v{version}", model=model, version=version, package=package, weight=BASIS_POINTS),)
        existing = self._find(actor.workspace, name)
        wanted = _wanted(existing, name, only, key=key, time=time)
        if wanted == existing:
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return wanted
        reason = f"deploy {model} version {version}"
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            row = change.execute(_select_one(change.workspace, name)).first()
            current = _endpoint(row) if row else None
            changed = _write(change, current, _wanted(current, name, only, key=key, time=time), reason)
            change.record("endpoint.deployed", f"endpoint/{name}", **_detail(changed, reason))
        return changed

    def set_variants(self, actor: Actor, name: str, variants: Sequence[Variant], *, reason: str) -> Endpoint:
        """Split the endpoint's traffic: a new epoch. Repeating the present split changes nothing. Raises NotFound."""
        split = tuple(variants)
        _check_variants(split)
        present = self.endpoint(actor.workspace, name)
        if present.variants == split:
            actor.require(Permission.ENDPOINTS_DEPLOY)
            return present
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            changed = _write(change, current, msgspec.structs.replace(current, variants=split), reason)
            change.record("endpoint.traffic_set", f"endpoint/{name}", **_detail(changed, reason))
        return changed

    def roll_back(self, actor: Actor, name: str, wanted: Variant, *, reason: str) -> Endpoint:
        """Give all traffic to a version that had it before (see `served_before`). Raises NotFound, InvalidInput without a reason."""
        if not reason.strip():
            raise InvalidInput(f"Rolling back endpoint {name!r} needs a reason; say what went wrong.")
        self.endpoint(actor.workspace, name)
        why = f"{ROLLED_BACK}{reason.strip()}"[:MAX_REASON]
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            _next_revision(change)
            current = _endpoint(change.execute(_select_one(change.workspace, name)).one())
            only = (msgspec.structs.replace(wanted, weight=BASIS_POINTS),)
            changed = _write(change, current, msgspec.structs.replace(current, variants=only), why)
            change.record("endpoint.rolled_back", f"endpoint/{name}", **_detail(changed, why))
        return changed

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
        return RouteTable(format=ROUTE_FORMAT, revision=revision, endpoints=tuple(found))

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
            return [
                RouteChange(row.time, row.actor, row.reason, row.epoch, _VARIANTS.decode(row.variants)) for row in rows
            ]

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
        found = [
            (row.endpoint, RouteChange(row.time, row.actor, row.reason, row.epoch, _VARIANTS.decode(row.variants)))
            for row in rows
        ]
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

    def _find(self, workspace: str, name: str) -> Endpoint | None:
        with self._records.read() as connection:
            row = connection.execute(_select_one(workspace, name)).first()
        return _endpoint(row) if row else None


def _wanted(current: Endpoint | None, name: str, variants: tuple[Variant, ...], *, key: str, time: str) -> Endpoint:
    if current is None:
        return Endpoint(name=name, salt=new_id(), epoch=0, variants=variants, key=key, time=time)
    return msgspec.structs.replace(current, variants=variants, key=key or current.key, time=time or current.time)


def _write(change: Change, current: Endpoint | None, wanted: Endpoint, reason: str) -> Endpoint:
    changed = msgspec.structs.replace(wanted, epoch=wanted.epoch + 1)
    encoded = msgspec.json.encode(changed.variants).decode()
    values = {
        "epoch": changed.epoch,
        "variants": encoded,
        "key": changed.key,
        "time": changed.time,
        "updated": change.time,
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
    )


def _detail(endpoint: Endpoint, reason: str) -> dict[str, object]:
    return {
        "epoch": endpoint.epoch,
        "reason": reason,
        "variants": [msgspec.structs.asdict(variant) for variant in endpoint.variants],
    }


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
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
