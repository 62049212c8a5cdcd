"""Parts of objects in Amazon S3 and its like. Address, region and key are those that obstore signs with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit, urlunsplit
from xml.sax.saxutils import escape

import obstore
from obstore.store import S3Store

from bailiwick.core.errors import NotFound, Unavailable
from bailiwick.store.parts.model import PartAddress, SentPart
from bailiwick.store.parts.requests import ask, element
from bailiwick.store.parts.signing import Keys, signed_url

OWN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object is, and what a URL of it is signed with."""

    url: str
    region: str
    keys: Keys


class S3Parts:
    """Only for keys that are in the environment: obstore does not tell those that it finds out by itself."""

    def __init__(self, store: S3Store, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    @property
    def usable(self) -> bool:
        """Whether the secret of the key that obstore signs with is known here."""
        return self._place("probe") is not None

    def begin(self, key: str) -> str:
        """`CreateMultipartUpload`."""
        upload = element(ask("POST", self._signed("POST", key, {"uploads": ""}), b""), "UploadId")
        if not upload:
            raise Unavailable("The object store began an upload and did not name it.")
        return upload

    def address(self, key: str, upload: str, number: int, *, seconds: int) -> PartAddress:
        """Of `UploadPart`."""
        return PartAddress(number, self._signed("PUT", key, _part(upload, number), seconds=seconds))

    def complete(self, key: str, upload: str, parts: Sequence[SentPart]) -> None:
        """`CompleteMultipartUpload`."""
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        ask("POST", self._signed("POST", key, {"uploadId": upload}), body, {"Content-Type": "application/xml"})

    def abort(self, key: str, upload: str) -> None:
        """`AbortMultipartUpload`."""
        with suppress(NotFound):
            ask("DELETE", self._signed("DELETE", key, {"uploadId": upload}))

    def _signed(self, method: str, key: str, query: dict[str, str], *, seconds: int = OWN_SECONDS) -> str:
        place = self._place(key)
        if place is None:
            raise Unavailable("The secret access key of the object store is not known here.")
        return signed_url(
            method, place.url, query, keys=place.keys, region=place.region, seconds=seconds, now=self._now()
        )

    def _place(self, key: str) -> _Place | None:
        """Read off a URL that obstore signs, so that endpoint, style, region and key are its own."""
        try:
            given = str(obstore.sign(self._store, "GET", key, timedelta(seconds=60)))
        except (OSError, obstore.exceptions.BaseError):  # no credentials
            return None
        parts = urlsplit(given)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        access, _, scope = asked.get("X-Amz-Credential", "").partition("/")
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        if not secret or access != os.environ.get("AWS_ACCESS_KEY_ID", ""):
            return None
        keys = Keys(access, secret, asked.get("X-Amz-Security-Token", ""))
        return _Place(urlunsplit(parts._replace(query="")), scope.split("/")[1], keys)


def _part(upload: str, number: int) -> dict[str, str]:
    return {"partNumber": str(number), "uploadId": upload}
