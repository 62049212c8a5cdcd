"""The one tree of errors.

BailiwickError
├── InvalidInput        what was given cannot be used: names the value, the choices, the fix
├── NotFound            no such thing in this workspace
├── AlreadyExists       a name that is taken
├── Conflict            the thing is in a state that forbids the verb
├── Unauthenticated     who is asking is not known
├── NotAllowed          who is asking is known, and may not
├── CheckFailed         a validation, gate or parity check said no
├── LimitExceeded       more than a stated limit
├── Unavailable         something needed cannot be reached or is not installed
│   └── MissingExtra    an optional dependency; the hint is the install line
└── Corrupted           stored bytes are not what was written

Errors know no HTTP: `server/` and `serving/` each hold one table from class to status.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BailiwickError(Exception):
    """Base of everything raised on purpose; `code` is stable, `hint` says what to do next."""

    code = "internal"
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(BailiwickError):
    """A value that cannot be used; retrying unchanged cannot succeed."""

    code = "invalid_input"
    exit_status = 2

    @classmethod
    def choice(cls, what: str, value: object, choices: Iterable[str]) -> InvalidInput:
        """An error for a value outside a closed set, with the nearest choice as the fix."""
        known = sorted(choices)
        near = get_close_matches(str(value), known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        return cls(f"{what} {value!r} is not known; choose one of: {', '.join(known) or '(none)'}.", hint=hint)


class NotFound(BailiwickError):
    """No such record in the actor's workspace; records of other workspaces read the same."""

    code = "not_found"
    exit_status = 3

    @classmethod
    def of(cls, kind: str, name: object, choices: Iterable[str] = ()) -> NotFound:
        """An error naming the missing record and, where the caller has them, those that exist."""
        known = sorted(choices)
        near = get_close_matches(str(name), known, n=1)
        if near:
            return cls(f"{kind} {name!r} does not exist.", hint=f"Did you mean {near[0]!r}?")
        listed = f" There are: {', '.join(known[:12])}." if known else ""
        return cls(f"{kind} {name!r} does not exist.{listed}")


class AlreadyExists(BailiwickError):
    """The name is taken, perhaps by a deleted record that still owns it."""

    code = "already_exists"


class Conflict(BailiwickError):
    """The record's present state forbids the verb; the message names that state."""

    code = "conflict"


class Unauthenticated(BailiwickError):
    """No identity, or credentials that do not prove one."""

    code = "unauthenticated"
    exit_status = 4


class NotAllowed(BailiwickError):
    """The actor lacks a permission; the message names it."""

    code = "not_allowed"
    exit_status = 4


class CheckFailed(BailiwickError):
    """A check said no; `findings` lists each reason in words."""

    code = "check_failed"

    def __init__(self, message: str, *, findings: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)

    def __str__(self) -> str:
        listed = "".join(f"\n  - {finding}" for finding in self.findings)
        return f"{super().__str__()}{listed}"


class LimitExceeded(BailiwickError):
    """More than a stated limit; the message names the limit and its unit."""

    code = "limit_exceeded"


class Unavailable(BailiwickError):
    """Something needed is not reachable now; the same call may succeed later."""

    code = "unavailable"
    exit_status = 5


class MissingExtra(Unavailable):
    """An optional dependency is not installed."""

    code = "missing_extra"

    @classmethod
    def of(cls, extra: str, package: str) -> MissingExtra:
        """An error whose hint is the line to type."""
        return cls(f"{package} is not installed.", hint=f'Install it: pip install "bailiwick[{extra}]"')


class Corrupted(BailiwickError):
    """Stored bytes do not match their digest, frame or schema."""

    code = "corrupted"
