"""C2SP signed notes with Ed25519: the signature under a checkpoint, and the key that makes it.

A note is text, an empty line, and lines `— name base64(key id ‖ signature)`. https://c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.store.keys import create_exclusively

ED25519 = b"\x01"
KEY_FILE = "journal.key"
VKEY_FILE = "journal.vkey"
DEFAULT_NAME = "bailiwick/journal"
SECRET_PREFIX = "PRIVATE+KEY+"  # noqa: S105 - a format's label, not a secret
SIGNATURE_LINE = "— "


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with its name, as in a `vkey` line: `name+key id+base64(0x01 ‖ public key)`."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """Raises InvalidInput unless it is an Ed25519 vkey whose key id fits."""
        parts = vkey.strip().split("+", 2)
        try:
            name, key_id, encoded = parts
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise _not_a_vkey(vkey) from None
        if key[:1] != ED25519 or len(key) != 33 or not _is_name(name):
            raise _not_a_vkey(vkey)
        verifier = cls(name, key[1:])
        if verifier.key_id.hex() != key_id:
            raise _not_a_vkey(vkey)
        return verifier

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256(name ‖ newline ‖ 0x01 ‖ public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The line to hand to whoever verifies."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    def open(self, note: str) -> str:
        """The text of a note that this key signed. Raises Corrupted when it did not, or the note is malformed."""
        text, separator, signatures = note.rpartition("\n\n")
        if not separator or not signatures.endswith("\n"):
            raise Corrupted("The signed note is malformed: it has no signatures behind an empty line.")
        text += "\n"
        for line in signatures.removesuffix("\n").split("\n"):
            signature = self._own_signature(line)
            if signature is not None:
                return self._checked(text, signature)
        raise Corrupted(f"The note has no signature by {self.name}+{self.key_id.hex()}.")

    def _own_signature(self, line: str) -> bytes | None:
        name, _, encoded = line.removeprefix(SIGNATURE_LINE).partition(" ")
        try:
            signature = base64.b64decode(encoded, validate=True)
        except ValueError:
            signature = b""
        canonical = base64.b64encode(signature).decode() == encoded
        if not line.startswith(SIGNATURE_LINE) or len(signature) < 5 or not canonical:
            raise Corrupted(f"The signed note has a malformed signature line: {line[:80]!r}.")
        return signature[4:] if (name, signature[:4]) == (self.name, self.key_id) else None

    def _checked(self, text: str, signature: bytes) -> str:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            raise Corrupted("The signature does not fit the text: one of them was changed.") from None
        return text


class Signer:
    """Signs with a private key. `verifier.vkey` is what to publish."""

    def __init__(self, name: str, seed: bytes) -> None:
        if not _is_name(name):
            raise InvalidInput(f"Key name {name!r} must be non-empty and hold neither white space nor '+'.")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def in_folder(cls, keys: Path, name: str = DEFAULT_NAME) -> Signer:
        """The key of `keys/journal.key`, made on first use and readable by its owner only (0600); the vkey lies beside it."""
        path = keys / KEY_FILE
        if not path.exists():
            _create(keys, cls(name, os.urandom(32)))
        return cls(*_load(path))

    @property
    def vkey(self) -> str:
        """The public key's line."""
        return self.verifier.vkey

    def sign(self, text: str) -> str:
        """The note for `text`. Raises ValueError unless the text ends its last line."""
        if not text.endswith("\n"):
            raise ValueError("the text of a signed note ends with a newline")
        signature = base64.b64encode(self.verifier.key_id + self._key.sign(text.encode())).decode()
        return f"{text}\n{SIGNATURE_LINE}{self.verifier.name} {signature}\n"

    def private_line(self) -> str:
        """The private key in the notation of Go's `sumdb/note`; for the key file alone."""
        encoded = base64.b64encode(ED25519 + self._key.private_bytes_raw()).decode()
        return f"{SECRET_PREFIX}{self.verifier.name}+{self.verifier.key_id.hex()}+{encoded}\n"


def _create(keys: Path, signer: Signer) -> None:
    if create_exclusively(keys, KEY_FILE, signer.private_line()):
        (keys / VKEY_FILE).write_text(signer.vkey + "\n", encoding="utf-8")


def _load(path: Path) -> tuple[str, bytes]:
    try:
        name, _, encoded = path.read_text(encoding="utf-8").strip().removeprefix(SECRET_PREFIX).split("+", 2)
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if len(key) != 33:
        raise Corrupted(
            f"{path} is not a journal key.", hint="Restore it from a backup; a new key cannot sign for the old one."
        )
    return name, key[1:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def _not_a_vkey(text: str) -> InvalidInput:
    return InvalidInput(f"{text[:120]!r} is not an Ed25519 vkey.", hint="It looks like name+0123abcd+AbC…=")
