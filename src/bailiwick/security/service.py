"""The verbs of identities and tokens, and the one place where a credential becomes an actor."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, NotAllowed, NotFound, Unauthenticated
from bailiwick.core.ids import new_id
from bailiwick.security.model import KINDS, Identity, Token
from bailiwick.security.roles import ADMIN, permissions_of
from bailiwick.security.secret import is_well_formed, new_secret
from bailiwick.security.tables import identities, tokens
from bailiwick.store.records import Change, Records

LOCAL = "local"
MAX_LIFETIME_MS = 366 * MILLISECONDS_PER_DAY
MAX_NOTE_CHARACTERS = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)
_TOKEN_ROW = (tokens, identities.c.name.label("identity"))


class IdentityService:
    """Identities, tokens, and authentication. Nobody can hand out a permission that they do not hold."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def local_admin(self, workspace: str) -> Actor:
        """The user of this machine, trusted because only loopback can reach us; holds every permission."""
        return Actor(identity=LOCAL, name=LOCAL, workspace=workspace, permissions=ADMIN)

    def create(self, actor: Actor, name: str, *, roles: Iterable[str], kind: str = "person") -> Identity:
        """Idempotent for the same name, roles and kind. Raises AlreadyExists when the name has other roles or kind."""
        actor.require(Permission.IDENTITIES_MANAGE)
        wanted = Identity(
            id=new_id(),
            workspace=actor.workspace,
            name=_checked_name(name),
            kind=_checked_kind(kind),
            roles=_checked_roles(actor, roles),
            created=0,
            created_by=actor.name,
        )
        existing = self._find(actor.workspace, name)
        if existing is not None:
            return _same(existing, wanted)
        try:
            return self._insert(actor, wanted)
        except IntegrityError:  # another process created the name since we looked
            return _same(self.identity(actor.workspace, name), wanted)

    def identity(self, workspace: str, name: str) -> Identity:
        """Raises NotFound."""
        found = self._find(workspace, name)
        if found is None:
            raise NotFound.of("Identity", name)
        return found

    def identities(self, workspace: str) -> list[Identity]:
        """All identities, by name."""
        query = select(identities).where(identities.c.workspace == workspace).order_by(identities.c.name)
        with self._records.read() as connection:
            return [_identity(row) for row in connection.execute(query)]

    def names(self, workspace: str) -> dict[str, str]:
        """What people call the identities of a workspace, by the ids that records keep."""
        query = select(identities.c.id, identities.c.name).where(identities.c.workspace == workspace)
        with self._records.read() as connection:
            return {row.id: row.name for row in connection.execute(query)}

    def name_of(self, workspace: str, identity: str) -> str:
        """What people call an identity; the id itself of one that is not here, or gone."""
        where = (identities.c.workspace == workspace, identities.c.id == identity)
        with self._records.read() as connection:
            return connection.execute(select(identities.c.name).where(*where)).scalar() or identity

    def remove(self, actor: Actor, name: str, *, reason: str = "") -> Identity:
        """Take an identity away with its tokens, which prove nothing from now on; what it did stays on record under its id.

        The name is free then: who is given it anew is another identity. Raises NotFound, NotAllowed for one that holds more
        than the actor, Conflict for the actor's own.
        """
        actor.require(Permission.IDENTITIES_MANAGE)
        gone = self.identity(actor.workspace, name)
        if actor.identity == gone.id:
            raise Conflict(f"{name} cannot remove itself.", hint="Ask another administrator.")
        more = sorted(gone.permissions - actor.permissions)
        if more:
            raise NotAllowed(f"{actor.name} may not remove {name}, who holds more permissions: {', '.join(more)}.")
        with self._records.change(actor, Permission.IDENTITIES_MANAGE) as change:
            found = removed(change, actor.workspace, identities.c.id == gone.id)
            if not found:  # another process was first
                raise NotFound.of("Identity", name)
            change.record("identity.removed", f"identity/{name}", **told(gone), tokens=found[0][1], reason=reason[:500])
        return gone

    def issue_token(self, actor: Actor, name: str, *, lifetime_ms: int, note: str = "") -> tuple[str, Token]:
        """The secret text, shown this once, and its handle. A token lives at most 366 days."""
        actor.require(Permission.IDENTITIES_MANAGE)
        _check_lifetime(lifetime_ms, note)
        owner = self.identity(actor.workspace, name)
        _require_all(actor, owner.permissions)
        secret = new_secret()
        with self._records.change(actor, Permission.IDENTITIES_MANAGE) as change:
            there = select(identities.c.id).where(identities.c.id == owner.id).with_for_update()
            if change.execute(there).first() is None:  # it was removed since we looked
                raise NotFound.of("Identity", name)
            token = Token(new_id(), change.workspace, name, note, change.time, change.time + lifetime_ms)
            change.execute(
                insert(tokens).values(
                    id=token.id,
                    workspace=token.workspace,
                    identity_id=owner.id,
                    digest=sha256_hex(secret.encode()),
                    note=note,
                    created=token.created,
                    expires=token.expires,
                )
            )
            change.record("token.issued", f"token/{token.id}", identity=name, expires=token.expires)
        return secret, token

    def revoke_token(self, actor: Actor, token_id: str) -> Token:
        """From now on the token proves nothing; revoking again changes nothing. Raises NotFound."""
        actor.require(Permission.IDENTITIES_MANAGE)
        with self._records.read() as connection:
            token = _find_token(connection, actor.workspace, token_id)
        if token.revoked is not None:
            return token
        with self._records.change(actor, Permission.IDENTITIES_MANAGE) as change:
            change.execute(
                update(tokens).where(tokens.c.id == token_id, tokens.c.revoked.is_(None)).values(revoked=change.time)
            )
            change.record("token.revoked", f"token/{token_id}", identity=token.identity)
            return _find_token(change.connection, change.workspace, token_id)

    def tokens(self, workspace: str) -> list[Token]:
        """Handles of all tokens, newest first, revoked and expired ones too."""
        query = (
            select(*_TOKEN_ROW)
            .join(identities)
            .where(tokens.c.workspace == workspace)
            .order_by(tokens.c.created.desc(), tokens.c.id.desc())
        )
        with self._records.read() as connection:
            return [_token(row) for row in connection.execute(query)]

    def authenticate(self, token: str, workspace: str) -> Actor:
        """The actor that `token` proves in `workspace`.

        Raises Unauthenticated with the same words whether the token is malformed, unknown, expired, revoked or another
        workspace's, so that a guesser learns nothing.
        """
        if not is_well_formed(token):
            raise _unauthenticated()
        digest = sha256_hex(token.encode())
        query = (
            select(*_TOKEN_ROW, identities.c.roles)
            .join(identities)
            .where(tokens.c.digest == digest, tokens.c.workspace == workspace)
        )
        with self._records.read() as connection:
            row = connection.execute(query).one_or_none()
        matches = hmac.compare_digest(row.digest if row else "0" * 64, digest)
        if row is None or not matches or not _token(row).valid_at(self._records.clock()):
            raise _unauthenticated()
        return Actor(row.identity_id, row.identity, workspace, permissions_of(json.loads(row.roles)))

    def _find(self, workspace: str, name: str) -> Identity | None:
        query = select(identities).where(identities.c.workspace == workspace, identities.c.name == name)
        with self._records.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _identity(row)

    def _insert(self, actor: Actor, wanted: Identity) -> Identity:
        with self._records.change(actor, Permission.IDENTITIES_MANAGE) as change:
            made = replace(wanted, created=change.time)
            change.execute(insert(identities).values({**asdict(made), "roles": json.dumps(made.roles)}))
            change.record(
                "identity.created", f"identity/{made.name}", id=made.id, kind=made.kind, roles=list(made.roles)
            )
        return made


def removed(change: Change, workspace: str, *which: ColumnElement[bool]) -> list[tuple[Identity, int]]:
    """Delete identities of a workspace within a change: each, by name, with how many tokens it had. Not journalled here."""
    query = select(identities).where(identities.c.workspace == workspace, *which).order_by(identities.c.name)
    found = [_identity(row) for row in change.execute(query.with_for_update())]
    return [(each, _deleted(change, each)) for each in found]


def _deleted(change: Change, gone: Identity) -> int:
    held: int = change.execute(delete(tokens).where(tokens.c.identity_id == gone.id)).rowcount
    change.execute(delete(identities).where(identities.c.id == gone.id))
    return held


def told(gone: Identity) -> dict[str, Any]:
    """Of an identity that is removed, what the journal keeps beside its name."""
    return {"id": gone.id, "kind": gone.kind, "roles": list(gone.roles)}


def _same(existing: Identity, wanted: Identity) -> Identity:
    if (existing.roles, existing.kind) == (wanted.roles, wanted.kind):
        return existing
    raise AlreadyExists(
        f"Identity {existing.name!r} already exists as a {existing.kind} with the roles {', '.join(existing.roles)}.",
        hint="Choose another name.",
    )


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Identity name {name!r} cannot be used.",
            hint="Use 1 to 100 of the characters a-z A-Z 0-9 . _ @ + - and begin with a letter or digit.",
        )
    if name == LOCAL:
        raise InvalidInput(f"Identity name {LOCAL!r} is kept for the user of this machine; choose another name.")
    return name


def _checked_kind(kind: str) -> str:
    if kind not in KINDS:
        raise InvalidInput.choice("kind of identity", kind, KINDS)
    return kind


def _checked_roles(actor: Actor, roles: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(sorted(set(roles)))
    if not chosen:
        raise InvalidInput("An identity needs at least one role.", hint="The least is 'viewer'.")
    _require_all(actor, permissions_of(chosen))
    return chosen


def _require_all(actor: Actor, granted: frozenset[Permission]) -> None:
    missing = sorted(granted - actor.permissions)
    if missing:
        raise NotAllowed(f"{actor.name} may not hand out permissions without holding them: {', '.join(missing)}.")


def _check_lifetime(lifetime_ms: int, note: str) -> None:
    if not 0 < lifetime_ms <= MAX_LIFETIME_MS:
        raise InvalidInput(f"Token lifetime {lifetime_ms} ms must be from 1 ms to {MAX_LIFETIME_MS} ms (366 days).")
    if len(note) > MAX_NOTE_CHARACTERS:
        raise InvalidInput(f"A token's note has at most {MAX_NOTE_CHARACTERS} characters; this one has {len(note)}.")


def _find_token(connection: Connection, workspace: str, token_id: str) -> Token:
    query = select(*_TOKEN_ROW).join(identities).where(tokens.c.workspace == workspace, tokens.c.id == token_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound.of("Token", token_id)
    return _token(row)


def _identity(row: Row[Any]) -> Identity:
    return Identity(**{**row._mapping, "roles": tuple(json.loads(row.roles))})  # noqa: SLF001 - SQLAlchemy's public name


def _token(row: Row[Any]) -> Token:
    return Token(row.id, row.workspace, row.identity, row.note, row.created, row.expires, row.revoked)


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("The token is not valid in this workspace.", hint="Ask an administrator for a new one.")
