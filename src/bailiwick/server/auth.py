"""Who is asking: a bearer token, the sign-in cookie, or the user of this very machine."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, Unauthenticated
from bailiwick.core.settings import LOOPBACK, Settings
from bailiwick.security.service import IdentityService
from bailiwick.security.workspaces import WorkspaceService
from bailiwick.webhooks.sender import ORIGIN_HEADER

COOKIE = "bailiwick_token"
WORKSPACE_HEADER = "bailiwick-workspace"
MLFLOW_WORKSPACE_HEADER = "x-mlflow-workspace"
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,249}")
_FORWARDED = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via", ORIGIN_HEADER.lower().encode()}
)
"""On requests that another program made for somebody; our own webhooks, which somebody chose the URL of, are such."""


class Authenticator:
    """Turns a request into an actor. Nothing else in the server looks at credentials."""

    def __init__(self, identities: IdentityService, workspaces: WorkspaceService, settings: Settings) -> None:
        self._identities = identities
        self._workspaces = workspaces
        self._settings = settings

    def actor(self, request: Request) -> Actor:
        """The actor of this request. Raises Unauthenticated saying how to be known, NotFound for a workspace that is none."""
        workspace = self._workspace(request.headers)
        token = _credentials(request.headers) or request.cookies.get(COOKIE, "")
        if token:
            return self._identities.authenticate(token, workspace)
        if self.is_local(request):
            return self.local_actor(workspace)
        raise Unauthenticated(
            "This server needs an API token.", hint="Send it as 'Authorization: Bearer TOKEN', or sign in at /sign-in."
        )

    def knows_at_once(self, request: Request) -> bool:
        """Whether `actor` answers without looking at the database: for the user of this machine, in the default workspace."""
        headers = request.headers
        shown = "authorization" in headers or COOKIE in request.cookies
        return not shown and self._workspaces.remembers(self._workspace(headers))

    def local_workspace(self, host_header: str, peer_host: str) -> str | None:
        """Where the user of this machine acts by a request with none of the headers that `actor` looks at, except Host.

        None where somebody else may be asking.
        """
        local = self._settings.host in LOOPBACK and _is_loopback(peer_host) and _is_loopback(_host_name(host_header))
        return self._settings.workspace if local else None

    def remembers(self, workspace: str) -> bool:
        """Whether `local_actor` answers without looking at the database."""
        return self._workspaces.remembers(workspace)

    def local_actor(self, workspace: str) -> Actor:
        """The user of this machine. Raises NotFound for a workspace that is none."""
        return self._identities.local_admin(self._workspaces.require(workspace))

    def is_local(self, request: Request) -> bool:
        """Whether the request can only have come from this machine and was meant for it.

        The server must be bound to loopback, the peer must be on it, nothing may have been forwarded by a proxy, and the
        Host header must name loopback: a page elsewhere that had its name resolved to 127.0.0.1 fails the last.
        """
        if self._settings.host not in LOOPBACK or request.client is None:
            return False
        if any(name in _FORWARDED for name, _ in request.scope["headers"]):
            return False
        return _is_loopback(request.client.host) and _is_loopback(_host_name(request.headers.get("host", "")))

    def _workspace(self, headers: Headers) -> str:
        name = headers.get(WORKSPACE_HEADER) or headers.get(MLFLOW_WORKSPACE_HEADER) or self._settings.workspace
        if not _WORKSPACE.fullmatch(name):
            raise InvalidInput(
                f"Workspace {name[:100]!r} cannot be one: use up to 250 of A-Z a-z 0-9 . _ -, beginning with a letter or digit."
            )
        return name


def same_origin(headers: Headers) -> bool | None:
    """Whether a browser says that its request came from our own pages; None when it says nothing, so it is no browser."""
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None:
        return site == "same-origin" or (site == "none" and origin is None)
    if origin is not None:
        return origin != "null" and urlsplit(origin).netloc == headers.get("host", "")
    return None


def _credentials(headers: Headers) -> str:
    value = headers.get("authorization")
    if value is None:
        return ""
    scheme, _, credentials = value.partition(" ")
    token = (
        credentials.strip()
        if scheme.lower() == "bearer"
        else _password(credentials)
        if scheme.lower() == "basic"
        else ""
    )
    if not token:
        raise Unauthenticated(
            "The Authorization header is not understood.",
            hint="Send 'Authorization: Bearer TOKEN', or a user name with the token as password.",
        )
    return token


def _password(credentials: str) -> str:
    """MLflow clients that are given a user name and a password send Basic credentials; the password is the token."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


@lru_cache(maxsize=256)
def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
