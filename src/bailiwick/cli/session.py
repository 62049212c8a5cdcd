"""What every command needs: the settings, the platform, and who is acting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bailiwick.core.actor import Permission
from bailiwick.core.errors import NotFound
from bailiwick.core.settings import Settings, load_settings
from bailiwick.processes.home import make_home

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform


@contextmanager
def open_session(*, needs: Permission = Permission.READ, create: bool = False) -> Iterator[tuple[Platform, Actor]]:
    """The platform on this machine's state and the acting identity: the token's, or the local administrator.

    Only with `create` is a home made where there is none. Raises NotFound, NotAllowed without the permission `needs`.
    """
    from bailiwick.app import open_platform

    settings = load_settings()
    if create:
        make_home(settings.home.resolve())
    else:
        _require_home(settings)
    platform = open_platform(settings)
    try:
        actor = acting(platform, settings)
        actor.require(needs)
        yield platform, actor
    finally:
        platform.close()


def acting(platform: Platform, settings: Settings) -> Actor:
    """Who a command acts as. Raises NotFound for a workspace that is none. Whoever may read the home folder is its administrator; a token narrows that."""
    if settings.token:
        return platform.identities.authenticate(settings.token, settings.workspace)
    return platform.identities.local_admin(platform.workspaces.require(settings.workspace))


def _require_home(settings: Settings) -> None:
    home = settings.home.resolve()
    if not settings.database_url and not (home / "bailiwick.db").exists():
        raise NotFound(
            f"There is no Bailiwick home at {home}.",
            hint="Change to the project's folder, name the home with --home, or make one: `bailiwick run` or `bailiwick up`.",
        )
