"""What is JSON, and how text becomes JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.json_text import conceal_surrogates, is_json, quote, reveal_surrogates
from tests.wire.json_texts import JSON_TEXTS

DEEP = 3000


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b" \t\r\n1 \n",
        b"-0",
        b"1E+3",
        b"1e400",
        b"123456789012345678901234567890.5",
        b'""',
        b'"\\ud800"',
        b'"\\uDC00\\ud800"',
        b'"\\\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\x7f\xc3\xa9\xf4\x8f\xbf\xbf"',
        b'{"a":1,"a":[]}',
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b'"\\udfff"' + b"}" * DEEP,
        b'[ { "a" : [ ] , "b" : { } } , ' * DEEP + b"1" + b"]" * DEEP,
    ],
)
def test_takes_what_the_grammar_allows(text: bytes) -> None:
    """Everything in RFC 8259's grammar is JSON, however deep or strange."""
    assert is_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf1",
        b"1 2",
        b"01",
        b"-",
        b"+1",
        b".5",
        b"1.",
        b"1e",
        b"0x1",
        b"NaN",
        b"Infinity",
        b"tru",
        b"nullx",
        b"'a'",
        b'"a',
        b'"\\x"',
        b'"\\u12"',
        b'"\\ud8zz"',
        b'"\\ud800',
        b'"a\x01"',
        b'"a\n"',
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'{"\xff":1}',
        b"[1,]",
        b"[,1]",
        b'{"a":1,}',
        b'{"a"}',
        b"{1:2}",
        b"[1}",
        b"1\x00",
        b"\xc2\xa01",
        "1".encode("utf-16"),
        b"[" * DEEP,
        b"[" * DEEP + b"]" * (DEEP - 1) + b"}",
        b"[" * DEEP + b"]" * (DEEP + 1),
        b"[" * DEEP + b"1,]" + b"]" * (DEEP - 1),
        b'{"a":' * DEEP + b"}" * DEEP,
        b'{"a":' * DEEP + b'{"a" 1}' + b"}" * DEEP,
        b"[" * DEEP + b'"\\ud800\\q"' + b"]" * DEEP,
    ],
)
def test_refuses_what_the_grammar_does_not_allow(text: bytes) -> None:
    """What is not in RFC 8259's grammar, or not UTF-8, is no JSON."""
    assert not is_json(text)


@settings(max_examples=40, deadline=None)
@given(JSON_TEXTS)
def test_any_json_text_is_json(text: bytes) -> None:
    """Every JSON text is taken, also deep inside others, and a cut one is not."""
    assert is_json(text)
    assert is_json(b"[" * 1200 + text + b"]" * 1200)
    assert not is_json(b"[" * 1200 + text + b"]" * 1199)
    assert reveal_surrogates(conceal_surrogates(text)) == text


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='{}[],:"\\u0d8e1-.+ nulltrue\n\x01é', max_size=12))
def test_agrees_with_the_standard_library(text: str) -> None:
    """On short texts of JSON's own characters the verdict is that of another strict parser."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
        expected = True
    except ValueError:
        expected = False
    assert is_json(text.encode()) == expected
    assert is_json(b"[" * 1200 + text.encode() + b"]" * 1200) == (expected or not text.strip())


def test_quotes_any_text() -> None:
    """Text becomes a JSON string; halves of surrogate pairs, which UTF-8 cannot express, U+FFFD."""
    assert quote('a"\n\x00é') == '"a\\"\\n\\u0000é"'.encode()
    assert quote("a\ud800b") == '"a\ufffdb"'.encode()
    assert quote("\ud83d\ude00") == '"😀"'.encode()
