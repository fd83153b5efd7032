"""
JSON as text: check it, quote it, never change it.

Rule 1: valid JSON is what RFC 8259's grammar allows, no less: `"\\ud800"` and `1e400` are JSON.
Rule 2: a value that we only carry is never made a Python object; `msgspec.Raw` keeps its text.
Rule 3: the text must be UTF-8 (RFC 8259 section 8.1); a byte order mark is not part of JSON.

msgspec 0.22 skips a `Raw` value along the whole grammar (compared with the standard library's
parser on 2.5 million random texts) with three exceptions, which live here: it does not look at the
UTF-8 inside strings, it refuses unpaired surrogate escapes (`conceal_surrogates`), and it follows
nesting only as deep as Python's recursion limit less the caller's stack (`_is_json_by_steps`).
"""

from __future__ import annotations

import re

import msgspec
import orjson

_skip = msgspec.json.Decoder(msgspec.Raw).decode

# The backslash of a high half without a low one after it, or of a low half without a high one
# before it. The pattern begins with that backslash so that `re` looks for this byte alone.
_UNPAIRED = re.compile(
    rb"\\(?:(?=u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\)(?=u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
# Bytes that UTF-8 never has: the backslash of a concealed escape, and a backslash that is escaped.
CONCEALED = b"\xff"
_ESCAPED = b"\xfe\xfe"

# RFC 8259 sections 2 to 7. Possessive throughout: no text makes these go back.
_SPACE = rb"[ \t\n\r]*+"
_STRING = rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_NUMBER = rb"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"
_OPENING_OR_SCALAR = re.compile(
    _SPACE + rb"(?:([\[{])|" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)"
)
_NAME = re.compile(_SPACE + _STRING + _SPACE + rb":")
_CLOSING = re.compile(_SPACE + rb"[\]}]")
_CLOSING_OR_COMMA = re.compile(_SPACE + rb"([\]},])")
_END = re.compile(_SPACE + rb"\Z")


def is_json(text: bytes) -> bool:
    """
    Whether this is one JSON value, however deep.

    Source: RFC 8259; CONTRACT.md section 7
    """
    try:
        if not text.isascii():
            text.decode()
        _skip(text)
    except UnicodeDecodeError:
        return False
    except msgspec.DecodeError:
        return b"\\u" in text and _is_json_with_surrogates(text)
    except RecursionError:
        return _is_json_by_steps(text)
    return True


def quote(text: str) -> bytes:
    """A JSON string; what UTF-8 cannot express becomes U+FFFD, so that no answer fails on it."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def conceal_surrogates(text: bytes) -> bytes:
    """
    The same UTF-8 text with unpaired surrogate escapes in a disguise that msgspec lets pass.

    Their backslash becomes `CONCEALED`, which msgspec takes for a byte of the string; length and
    positions stay, and `reveal_surrogates` undoes it. After an escaped backslash is no escape.
    """
    return _UNPAIRED.sub(CONCEALED, text.replace(b"\\\\", _ESCAPED)).replace(_ESCAPED, b"\\\\")


def reveal_surrogates(text: bytes) -> bytes:
    """What `conceal_surrogates` was given, of the whole or of any value in it."""
    return text.replace(CONCEALED, b"\\")


def _is_json_with_surrogates(text: bytes) -> bool:
    try:
        _skip(conceal_surrogates(text))
    except msgspec.DecodeError:
        return False
    except RecursionError:
        return _is_json_by_steps(text)
    return True


def _is_json_by_steps(text: bytes) -> bool:
    # 5 MB/s at worst, a hundredth of msgspec's, but only hundreds of levels of nesting come here.
    closings: list[bytes] = []
    at = 0
    while True:
        value = _OPENING_OR_SCALAR.match(text, at)
        if value is None:
            return False
        at = value.end()
        due = False
        if value[1] is not None:
            closings.append(b"]" if value[1] == b"[" else b"}")
            due = _CLOSING.match(text, at) is None
        while not due:
            if not closings:
                return _END.match(text, at) is not None
            after = _CLOSING_OR_COMMA.match(text, at)
            if after is None:
                return False
            at = after.end()
            due = after[1] == b","
            if not due and after[1] != closings.pop():
                return False
        if closings[-1] == b"}":
            name = _NAME.match(text, at)
            if name is None:
                return False
            at = name.end()
