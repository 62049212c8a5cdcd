"""Secrets at rest: AES-256-GCM under `home/keys/webhooks.key`, bound to the webhook they belong to."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bailiwick.core.errors import Corrupted
from bailiwick.store.keys import kept_key

KEY_FILE = "webhooks.key"
NONCE_BYTES = 12
PREFIX = "aes256gcm:"


class Vault:
    """Seals and opens. The key is made when the first secret is sealed; a copied row opens for no other webhook."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys

    def seal(self, secret: str, owner: str) -> str:
        """The text to store for a secret of webhook `owner`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher().encrypt(nonce, secret.encode(), owner.encode())
        return PREFIX + base64.b64encode(sealed).decode()

    def open(self, stored: str, owner: str) -> str:
        """Raises Corrupted when the text was changed, belongs to another webhook, or the key is not the one it was sealed with."""
        try:
            sealed = base64.b64decode(stored.removeprefix(PREFIX), validate=True)
            opened = self._cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            raise Corrupted(
                f"The secret of webhook {owner} cannot be decrypted.",
                hint=f"Restore {self._keys / KEY_FILE} from a backup, or give the webhook a new secret.",
            ) from None
        return opened.decode()

    def _cipher(self) -> AESGCM:
        return AESGCM(kept_key(self._keys, KEY_FILE))
