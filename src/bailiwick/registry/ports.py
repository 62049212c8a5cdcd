"""What the registry needs from governance: a gate that is asked before a version is promoted."""

from __future__ import annotations

from typing import Protocol

from bailiwick.core.actor import Actor


class PromotionGate(Protocol):
    """Decides whether a version may get an alias.

    The registry asks after it has authorised the actor and found the version, and before it opens its transaction; a
    gate reads what it needs itself, and must not rely on locks. A refusal changes nothing: the registry journals it as
    `alias.denied` and raises it to the caller.

    * `check` returns None or raises `NotAllowed`; the message names model, version and alias and everything that is
      missing, the hint says how to get it. Other errors mean that the gate itself could not decide.
    * Asking changes nothing: the same question has the same answer until the gate's own records change or time passes.
    * Only rules of `actor.workspace` count. The actor's permissions do not: the registry has looked at them.
    * `author` is the identity that registered the version, taken from the registry and never from a caller.
    * The gate judges words, so a model it has never heard of is no error.
    * It may be asked from many threads at once.

    `bailiwick.testing.promotion_gate` holds the tests that every gate passes.
    """

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        """Raises NotAllowed when version `number` of `model` may not become `alias` now."""
        ...


class NoGate:
    """Allows every promotion: for tests, and where nobody wants approvals."""

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        """Never raises."""
