"""Shared access signatures of Azure blobs, signed anew: obstore's are wrong for names that a URL must encode.

Source: Azure Storage REST API, "Create a service SAS", version 2020-12-06 and later. Azure checks the decoded name, and
obstore 0.9 signs the encoded one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from datetime import timedelta
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit, urlunsplit

import obstore
from obstore.store import AzureStore

from bailiwick.core.errors import Unavailable

EMULATED = "devstoreaccount1"
_EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of Azurite and of Azure's older emulators; it is published, and opens nothing else."""
_VARIABLES = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")


def azure_url(store: AzureStore, method: str, key: str, *, seconds: int) -> str:
    """A URL of a blob, good for a while. Raises Unavailable where the account's key is not in the environment."""
    try:
        given = str(obstore.sign(store, method, key, timedelta(seconds=seconds)))  # type: ignore[call-overload]
    except (OSError, ValueError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"The object store cannot sign a URL: {reason}.") from error
    parts = urlsplit(given)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    emulated = parts.path.startswith(f"/{EMULATED}/")
    account = "/blob" if emulated else f"/blob/{parts.netloc.partition('.')[0]}"
    secret = _key(emulated=emulated)
    if "sig" not in asked or signature(secret, asked, account + parts.path) != asked["sig"]:
        raise Unavailable("The key of the storage account is not known here, and only it signs any name.")
    name = unquote(parts.path)
    asked["sig"] = signature(secret, asked, account + name)
    path = quote(name, safe="/-_.~")
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(asked, quote_via=quote, safe=""), ""))


def signature(key: bytes, asked: dict[str, str], resource: str) -> str:
    """Of a service SAS with the fields of its query, for a resource such as `/blob/ACCOUNT/CONTAINER/NAME`."""
    fields = [asked["sp"], asked.get("st", ""), asked["se"], resource, "", "", asked.get("spr", ""), asked["sv"]]
    text = "\n".join([*fields, asked["sr"], "", "", "", "", "", "", ""])
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def _key(*, emulated: bool) -> bytes:
    text = next(filter(None, (os.environ.get(name) for name in _VARIABLES)), _EMULATOR_KEY if emulated else "")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
