"""Signatures of URLs, held to Amazon's published example and to obstore's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import S3Store

from bailiwick.store.parts.s3 import S3Parts
from bailiwick.store.parts.signing import Keys, signed_url

EXAMPLE = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def test_the_example_of_the_s3_reference_is_signed_as_amazon_says() -> None:
    url = signed_url(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {},
        keys=EXAMPLE,
        region="us-east-1",
        seconds=86_400,
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt"
        "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@given(
    key=st.lists(st.text("abcXYZ019 -_.~=+@:&äß€", min_size=1, max_size=9), min_size=1, max_size=4).map("/".join),
    session=st.sampled_from(["", "lent/token+=="]),
)
def test_any_key_is_signed_as_obstore_signs_it(key: str, session: str) -> None:
    if any(part.strip(".") == "" for part in key.split("/")):
        return
    store = S3Store(
        "bucket",
        access_key_id=EXAMPLE.access,
        secret_access_key=EXAMPLE.secret,
        region="eu-west-3",
        **({"session_token": session} if session else {}),  # type: ignore[arg-type] # one of the names of the config
    )
    theirs = urlsplit(obstore.sign(store, "PUT", key, timedelta(seconds=77)))
    asked = {name: values[0] for name, values in parse_qs(theirs.query).items()}
    now = datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    keys = Keys(EXAMPLE.access, EXAMPLE.secret, session)
    ours = signed_url("PUT", theirs._replace(query="").geturl(), {}, keys=keys, region="eu-west-3", seconds=77, now=now)
    assert parse_qs(urlsplit(ours).query)["X-Amz-Signature"] == [asked["X-Amz-Signature"]]


def test_a_store_whose_secret_is_not_known_here_takes_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store("bucket", access_key_id="other", secret_access_key="theirs", region="us-east-1")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    assert not S3Parts(store).usable
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine too")
    assert not S3Parts(store).usable
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "theirs")
    assert S3Parts(store).usable
