"""Paths of artifacts: hostile ones are refused in every disguise, and honest ones are kept letter by letter."""

from __future__ import annotations

import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bailiwick.core.errors import BailiwickError, InvalidInput, LimitExceeded
from bailiwick.tracking.artifacts.paths import check_folder, check_path, proxied_path, within_workspace

HOSTILE = [
    "",
    "/etc/passwd",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "//a",
    "C:/windows",
    "c:evil",
    "C:\\windows",
    "a\\b",
    "a\\..\\b",
    "file:/etc/passwd",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a#b",
    "%2e%2e/a",
    "a/%2e%2e/b",
    "a/.%2e/b",
    "..%2fa",
    "%2fetc/passwd",
    "%252e%252e%252fa",
    "%25252e%25252e/a",
    "a%5cb",
    "a%255cb",
    "a%00b",
    "a%2500b",
    "a%23b",
    "%43%3a/windows",
    "a\ufffdb",
    "a\ud800b",
    ".bailiwick-incoming/x",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_refused_by_name(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "0/1234/artifacts/model/MLmodel",
        "with space/and more.txt",
        "größe/日本語.txt",
        "dog%step%100%timestamp%100.png",
        "100%",
        "a..b/c...d",
        ".hidden/.file",
        "ab:c/d",
        "a+b&c=d?e",
        "~/x",
        "-rf",
        "a%41",
    ],
)
def test_an_honest_path_is_kept_letter_by_letter(path: str) -> None:
    assert check_path(path) == path


def test_long_paths_and_names_are_refused_with_the_limit() -> None:
    assert check_path("/".join(["a" * 255] * 4)) is not None
    with pytest.raises(LimitExceeded, match="1024 bytes; this one has 1025"):
        check_path("/".join(["a" * 255] * 4 + ["a"]))
    with pytest.raises(LimitExceeded, match="at most 255 bytes"):
        check_path("ü" * 128)


def test_a_path_that_is_encoded_without_end_is_refused() -> None:
    path = "%41"
    for _ in range(12):
        path = quote(path, safe="")
    with pytest.raises(InvalidInput, match="percent-encoded more than 10 times"):
        check_path(path)


def test_a_folder_may_be_the_root_and_may_end_with_a_slash() -> None:
    assert [check_folder(path) for path in ("", "/", "a", "a/", "a/b/")] == ["", "", "a", "a", "a/b"]
    for path in ("a//", "//", "/a", "../"):
        with pytest.raises(InvalidInput):
            check_folder(path)


@given(st.text())
def test_any_text_is_kept_or_refused_and_what_is_kept_stays_inside(path: str) -> None:
    try:
        kept = check_path(path)
    except BailiwickError:
        return
    assert kept == path
    decoded = path
    for _ in range(12):
        assert posixpath.normpath(posixpath.join("/root", decoded)).startswith("/root/")
        assert not {"\\", "\x00", "#"} & set(decoded)
        decoded = unquote(decoded)


@given(st.lists(st.text("ab.%25/eE\\#:2fC", max_size=6), max_size=5).map("/".join))
def test_paths_made_of_tricks_stay_inside(path: str) -> None:
    test_any_text_is_kept_or_refused_and_what_is_kept_stays_inside.hypothesis.inner_test(path)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/0/r/artifacts", "0/r/artifacts"),
        ("mlflow-artifacts:", ""),
        ("mlflow-artifacts:/", ""),
        ("mlflow-artifacts://host:5000/0/r", "0/r"),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/0/r", "0/r"),
        ("https://host/prefix/api/2.0/mlflow-artifacts/artifacts", ""),
        ("http://host/elsewhere/0/r", None),
        ("s3://bucket/0/r", None),
        ("file:///tmp/0/r", None),
        ("/tmp/0/r", None),
    ],
)
def test_the_uris_of_the_proxy_name_paths(uri: str, path: str | None) -> None:
    assert proxied_path(uri) == path


def test_a_uri_of_the_proxy_cannot_lead_out() -> None:
    for uri in ("mlflow-artifacts:/a/../../b", "mlflow-artifacts:/a/%2e%2e/b"):
        with pytest.raises(InvalidInput):
            proxied_path(uri)


def test_a_workspace_reaches_its_own_folder_only() -> None:
    assert within_workspace("team", "workspaces/team/a/b") == "a/b"
    assert within_workspace("default", "a/b") == "a/b"
    with pytest.raises(InvalidInput, match="belongs to workspace 'other'"):
        within_workspace("team", "workspaces/other/a")
    with pytest.raises(InvalidInput, match="belongs to workspace ''"):
        within_workspace("default", "workspaces")


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_paths_that_differ_stay_two(first: str, second: str) -> None:
    assume(first != second)
    try:
        assert check_path(first) != check_path(second)
    except BailiwickError:
        return
