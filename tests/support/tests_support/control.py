"""Clients of a control plane in this process: on the same machine, or elsewhere with a token."""

from __future__ import annotations

import warnings

from starlette.applications import Starlette

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.security.roles import ROLES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have httpx2; httpx is what the tests are pinned to
    from starlette.testclient import TestClient

__all__ = ["ELSEWHERE", "HERE", "LOCAL", "TestClient", "issue_tokens", "local", "remote"]

LOCAL = "http://127.0.0.1:8600"
HERE = ("127.0.0.1", 50_000)
ELSEWHERE = ("192.0.2.7", 50_000)


def local(app: Starlette, **options: object) -> TestClient:
    """A client on the same machine."""
    return TestClient(app, base_url=LOCAL, client=HERE, follow_redirects=False, **options)  # type: ignore[arg-type]


def remote(app: Starlette, token: str = "", **headers: str) -> TestClient:
    """A client on another machine, with a token or without."""
    sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
    return TestClient(
        app, base_url="http://control.example:8600", client=ELSEWHERE, headers=sent, follow_redirects=False
    )


def issue_tokens(platform: Platform) -> dict[str, str]:
    """An identity and a token for each role."""
    administrator = platform.identities.local_admin("default")
    made = {}
    for role in ROLES:
        platform.identities.create(administrator, f"a-{role}", roles=[role])
        made[role], _ = platform.identities.issue_token(administrator, f"a-{role}", lifetime_ms=86_400_000)
    foreign = Actor("local", "local", "elsewhere", frozenset(Permission))
    platform.identities.create(foreign, "stranger", roles=["admin"])
    made["stranger"], _ = platform.identities.issue_token(foreign, "stranger", lifetime_ms=86_400_000)
    return made
