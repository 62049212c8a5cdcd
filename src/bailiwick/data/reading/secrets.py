"""Passwords in addresses: kept out of what is stored and told, and taken from the environment where something is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import quote

from bailiwick.core.errors import InvalidInput

_OF_USER = re.compile(r"(://[^/:@\s]*:)([^@/\s]+)(?=@)")
_WORDS = r"(?:password|passwd|pwd|secret|token|access[._-]?key|private[._-]?key)"
_OF_SETTING = re.compile(rf"([?&][^=&\s]*{_WORDS}[^=&\s]*=)([^&\s]+)", re.IGNORECASE)
_OF_CONNECT = re.compile(rf"(;[^=;&?\s]*{_WORDS}[^=;&?\s]*=)([^;&?\s]+)", re.IGNORECASE)
"""Spark Connect has its own behind semicolons."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_QUERY = re.compile(r"[?&]query=")
_OURS = "BAILIWICK_"
MASK = "***"


def without_password(address: str) -> str:
    """What a record may say of an address: no password, and no key among its settings."""
    return _replaced(address, lambda _secret: MASK)


def holds_password(address: str) -> bool:
    """Whether one is written in it; a reference to the environment, such as `${PGPASSWORD}`, is none."""
    return _replaced(address, lambda secret: secret if _REFERENCE.fullmatch(secret) else "") != address


def resolved(address: str) -> str:
    """With each `${NAME}` that stands for a password as this process's environment has it, quoted for a URL.

    For opening only: it is never to be kept or told. Raises InvalidInput naming a variable that is not set.
    """

    def found(secret: str) -> str:
        reference = _REFERENCE.fullmatch(secret)
        return secret if reference is None else quote(_variable(reference[1]), safe="")

    return _replaced(address, found)


def _variable(name: str) -> str:
    if name.upper().startswith(_OURS):
        raise InvalidInput(f"${{{name}}} is not lent to sources: it is Bailiwick's own.", hint="Name another variable.")
    if not os.environ.get(name):
        raise InvalidInput(
            f"The password is in ${{{name}}}, which is not set here.", hint="Set it where the worker runs."
        )
    return os.environ[name]


def _replaced(address: str, put: Callable[[str], str]) -> str:
    """Not within the SQL behind `?query=`, which may hold anything."""
    begin = next(iter(_QUERY.finditer(address)), None)
    end = begin.start() if begin else len(address)
    url = address[:end]
    for pattern in (_OF_USER, _OF_SETTING, *([_OF_CONNECT] if url.startswith("sc://") else [])):
        url = pattern.sub(lambda found: found[1] + put(found[2]), url)
    return url + address[end:]
