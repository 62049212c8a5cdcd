"""Notes: what people write in Markdown is shown so; nothing of it becomes markup of its own, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.server.ui.prose import MAX_SHOWN, prose
from tests_support.html import Page

MARKS = ("# ", "## ", "- ", "1. ", "> ", "```", "**", "*", "_", "`", "[a](", "https://a.b", ")", "|", "|-|-|", "---")
EVIL = ("<script>", "</p>", "<img src=x onerror=y>", "javascript:x", "&amp;", '"', "'", "\\|")
PIECES = st.lists(st.sampled_from([*MARKS, *EVIL, "a", "\n", "\n\n", "\r\n"]), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Why\nbecause", '<h3>Why</h3>\n<p dir="auto">because</p>'),
        ("### Detail ###", "<h4>Detail</h4>"),
        ("one\ntwo\n\nthree", '<p dir="auto">one<br>two</p>\n<p dir="auto">three</p>'),
        ("* a\n- **b**", "<ul><li>a</li><li><strong>b</strong></li></ul>"),
        ("1. a\n2) *b*", "<ol><li>a</li><li><em>b</em></li></ol>"),
        ("> said\n> so", "<blockquote><p>said<br>so</p></blockquote>"),
        ("```py\n<b>\n```", '<pre tabindex="0"><code>&lt;b&gt;</code></pre>'),
        ("```\nopen", '<pre tabindex="0"><code>open</code></pre>'),
        ("---", "<hr>"),
        ("`<i>`", '<p dir="auto"><code>&lt;i&gt;</code></p>'),
        ("snake_case_name 2*3*4", '<p dir="auto">snake_case_name 2*3*4</p>'),
        ("", ""),
    ],
)
def test_markdown_is_shown_as_it_is_meant(text: str, shown: str) -> None:
    assert prose(text) == shown


def test_links_lead_to_web_and_mail_addresses_only() -> None:
    assert 'href="https://a.example/b?c=%22"' in prose("[x](https://a.example/b?c=%22)")
    assert 'href="mailto:ada@example.com"' in prose("[x](mailto:ada@example.com)")
    assert 'href="https://a.example"' in prose("see https://a.example")
    assert 'rel="noopener noreferrer nofollow"' in prose("https://a.example")
    for target in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/relative",
        "JaVaScRiPt:x",
        "vbscript:x",
    ):
        assert "href" not in prose(f"[x]({target})"), target


def test_a_table_has_a_head_and_rows() -> None:
    shown = prose("| a | b |\n|---|:-:|\n| 1 | <b> |")
    assert "<th>a</th>" in shown
    assert "<td>&lt;b&gt;</td>" in shown


def test_a_long_note_is_cut_and_says_so() -> None:
    shown = prose("word " * MAX_SHOWN)
    assert len(shown) < MAX_SHOWN + 200
    assert "The rest of the note is not shown" in shown


@given(PIECES | st.text(max_size=200))
def test_no_note_breaks_out_of_its_place(text: str) -> None:
    shown = prose(text)
    page = Page(shown)
    assert page.faults == []
    assert "<script" not in shown
    assert "<img" not in shown
    assert all(link.lower().startswith(("http://", "https://", "mailto:")) for link in page.links)
