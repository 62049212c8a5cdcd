"""Keys of this installation: files in `home/keys` that only their owner can read, made on first use."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from bailiwick.core.errors import Corrupted
from bailiwick.core.ids import new_id

KEY_BYTES = 32


def kept_key(folder: Path, name: str) -> bytes:
    """The 32 random bytes in `folder/name`; every process gets the same. Raises Corrupted when the file is no key."""
    path = folder / name
    if not path.exists():
        create_exclusively(folder, name, base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n")
    try:
        key = base64.b64decode(path.read_text(encoding="utf-8").strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Corrupted(f"{path} is not a key.", hint="Restore it from a backup: what was encrypted with it needs it.")
    return key


def create_exclusively(folder: Path, name: str, text: str) -> bool:
    """Write a file of mode 0600 that appears whole; False when another process has made it first."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = folder / f"{name}.{new_id()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, folder / name)  # unlike a rename, never replaces the key of a process that was faster
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True
