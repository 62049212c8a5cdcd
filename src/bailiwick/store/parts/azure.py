"""Parts of blobs in Azure: blocks, each sent to a signed URL of the blob and named in the list that makes it.

A signature covers the blob and not the rest of the query, so that one of the blob serves for its blocks too.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

from obstore.store import AzureStore

from bailiwick.core.errors import Unavailable
from bailiwick.core.ids import new_id
from bailiwick.store.parts.model import PartAddress, SentPart
from bailiwick.store.parts.requests import ask
from bailiwick.store.parts.sas import azure_url

OWN_SECONDS = 600


class AzureParts:
    """Blocks that no list names are forgotten by Azure after a week. Only for the account's key, in the environment."""

    def __init__(self, store: AzureStore) -> None:
        self._store = store

    @property
    def usable(self) -> bool:
        """Whether the account's key is known."""
        try:
            azure_url(self._store, "PUT", "probe", seconds=OWN_SECONDS)
        except Unavailable:
            return False
        return True

    def begin(self, key: str) -> str:
        """Nothing is begun there: blocks need only names of their own."""
        del key
        return new_id()

    def address(self, key: str, upload: str, number: int, *, seconds: int) -> PartAddress:
        """Of `Put Block`."""
        block = quote(_block(upload, number), safe="")
        return PartAddress(number, f"{azure_url(self._store, 'PUT', key, seconds=seconds)}&comp=block&blockid={block}")

    def complete(self, key: str, upload: str, parts: Sequence[SentPart]) -> None:
        """`Put Block List`."""
        listed = "".join(f"<Latest>{_block(upload, part.number)}</Latest>" for part in parts)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        ask(
            "PUT",
            f"{azure_url(self._store, 'PUT', key, seconds=OWN_SECONDS)}&comp=blocklist",
            body,
            {"Content-Type": "application/xml"},
        )

    def abort(self, key: str, upload: str) -> None:
        """There is no such call; see the class."""


def _block(upload: str, number: int) -> str:
    """All of one length, as Azure wants them; a number has at most five digits."""
    return base64.b64encode(f"{upload}-{number:05d}".encode()).decode()
