"""Signed URLs of Azure: obstore's where it is right, and right where it is not. Azurite checks them where it is installed."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from obstore.store import AzureStore

from bailiwick.core.errors import Unavailable
from bailiwick.store.parts.azure import AzureParts
from bailiwick.store.parts.choice import can_sign, sign
from bailiwick.store.parts.sas import azure_url, signature

SECRET = base64.b64encode(b"thirty-two bytes of a secret key").decode()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> AzureStore:
    for name in ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    return AzureStore("models", account_name="acme", account_key=SECRET)


def fields(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize("name", ["plain/name.bin", "größe a.txt", "a+b=c%20d", "x/ü/100%"])
def test_any_name_is_signed_as_azure_reads_it(store: AzureStore, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    url = azure_url(store, "GET", name, seconds=60)
    parts, asked = urlsplit(url), fields(url)
    assert parts.netloc == "acme.blob.core.windows.net"
    assert unquote(parts.path) == f"/models/{name}"
    assert asked["sig"] == signature(base64.b64decode(SECRET), asked, f"/blob/acme/models/{name}")
    assert asked["sp"] == "r"


def test_a_part_is_a_block_with_a_name_as_long_as_every_other(
    store: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    parts = AzureParts(store)
    upload = parts.begin("a")
    first, last = (fields(parts.address("a", upload, number, seconds=60).url) for number in (1, 10_000))
    assert (first["comp"], first["sp"]) == ("block", "w")
    assert first["blockid"] != last["blockid"]
    assert len(first["blockid"]) == len(last["blockid"])
    assert len(base64.b64decode(last["blockid"])) <= 64


@pytest.mark.parametrize("known", ["", base64.b64encode(b"another").decode(), "not base64!"])
def test_without_the_accounts_key_nothing_is_signed(
    store: AzureStore, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", known)
    assert not can_sign(store)
    assert not AzureParts(store).usable
    with pytest.raises(Unavailable, match="key of the storage account"):
        sign(store, "GET", "a", seconds=60)
