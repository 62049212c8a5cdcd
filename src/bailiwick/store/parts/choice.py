"""Which stores sign URLs and take parts, and the one way to have a URL signed."""

from __future__ import annotations

from datetime import timedelta

import obstore
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from bailiwick.core.errors import Unavailable
from bailiwick.store.parts.azure import AzureParts
from bailiwick.store.parts.model import PartedStore
from bailiwick.store.parts.s3 import S3Parts
from bailiwick.store.parts.sas import azure_url


def can_sign(store: ObjectStore) -> bool:
    """Whether URLs of the store can be signed: not with every kind of credentials, and not in a folder."""
    if not isinstance(store, S3Store | AzureStore | GCSStore):
        return False
    try:
        sign(store, "GET", "probe", seconds=60)
    except Unavailable:
        return False
    return True


def sign(store: ObjectStore, method: str, key: str, *, seconds: int) -> str:
    """A URL by which anyone can do one thing with an object for a while. Raises Unavailable."""
    if isinstance(store, AzureStore):
        return azure_url(store, method, key, seconds=seconds)
    try:
        return str(obstore.sign(store, method, key, timedelta(seconds=seconds)))  # type: ignore[call-overload]
    except (OSError, ValueError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"The object store cannot sign a URL: {reason}.") from error


def upload_headers(store: ObjectStore) -> dict[str, str]:
    """What must be sent along with a whole object that is PUT to a signed URL."""
    return {"x-ms-blob-type": "BlockBlob"} if isinstance(store, AzureStore) else {}


def parted_store(store: ObjectStore) -> PartedStore | None:
    """The way to send objects to a store in parts; None where there is none: a folder, GCS, or keys that are not known."""
    found = (
        S3Parts(store) if isinstance(store, S3Store) else AzureParts(store) if isinstance(store, AzureStore) else None
    )
    return found if found is not None and found.usable else None
