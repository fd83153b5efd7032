"""Produce requests that are refused, and in which words."""

from __future__ import annotations

import pytest

from proxy.model import Format
from proxy.wire.produce import parse_produce
from tests.wire.refusals import refusal

BINARY, JSON, TEXT = Format.BINARY, Format.JSON, Format.TEXT


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is empty."),
        (b" \n", "The request body is empty."),
        (b"[]", "$: expected object, got array"),
        (b"null", "$: expected object, got null"),
        (b"{}", "$.records: missing"),
        (b'{"records":null}', "$.records: expected array, got null"),
        (b'{"records":[]}', "$.records: expected array of length >= 1"),
        (b'{"records":{}}', "$.records: expected array, got object"),
        (b'{"records":[{}],"x":1}', "Unrecognized field: x"),
        (b'{"records":[{},{"x\\n":1}]}', "Unrecognized field: x␊ at $.records[1]"),
        (b'{"records":[{},1]}', "$.records[1]: expected object, got int"),
        (b'{"records":[{"partition":-1}]}', "$.records[0].partition: expected int >= 0"),
        (
            b'{"records":[{"partition":2147483648}]}',
            "$.records[0].partition: expected int <= 2147483647",
        ),
        (
            b'{"records":[{"partition":"0"}]}',
            "$.records[0].partition: expected int | null, got str",
        ),
        (
            b'{"records":[{"partition":1.0}]}',
            "$.records[0].partition: expected int | null, got float",
        ),
        (
            b'{"records":[{"partition":true}]}',
            "$.records[0].partition: expected int | null, got bool",
        ),
        (b'{"records":[{"timestamp":-1}]}', "$.records[0].timestamp: expected int >= 0"),
        (
            b'{"records":[{"timestamp":9223372036854775808}]}',
            "$.records[0].timestamp: expected int <= 9223372036854775807",
        ),
        (
            b'{"records":[{"timestamp":1.5}]}',
            "$.records[0].timestamp: expected int | str | null, got float",
        ),
        (
            b'{"records":[{},{"timestamp":"yesterday"}]}',
            (
                "$.records[1].timestamp: neither epoch milliseconds nor an RFC 3339 date and time "
                "since 1970"
            ),
        ),
        (
            b'{"records":[{"headers":[{},{}]}]}',
            "$.records[0].headers[0].key: missing",
        ),
        (
            b'{"records":[{"headers":[{"key":"a"},{"key":"a","name":"a"}]}]}',
            "$.records[0].headers[1]: 'key' and 'name' mean the same, give one of them",
        ),
        (
            b'{"records":[{"headers":[{"key":"a","value":"AA"}]}]}',
            (
                "$.records[0].headers[0].value: not standard base64 with its padding (RFC 4648, "
                "section 4)"
            ),
        ),
        (
            b'{"records":[{"headers":{}}]}',
            "$.records[0].headers: expected array | null, got object",
        ),
    ],
)
def test_well_formed_but_wrong(body: bytes, message: str) -> None:
    """A body of the wrong shape is refused with the place."""
    assert refusal(parse_produce, body, JSON) == (422, message)


@pytest.mark.parametrize(
    ("embedded", "message"),
    [
        (BINARY, "$.records[0].value: expected base64 string | null, got int"),
        (TEXT, "$.records[0].value: expected str | null, got int"),
    ],
)
def test_only_strings_where_strings_belong(embedded: Format, message: str) -> None:
    """A number is neither base64 nor text."""
    assert refusal(parse_produce, b'{"records":[{"value":1}]}', embedded) == (422, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "Malformed JSON at byte 1: unexpected end"),
        (b'{"records":[{"value":tru}]}', "Malformed JSON at byte 22: invalid character"),
        (b'{"records":[{"value":"\xff"}]}', "Malformed JSON at byte 22: not UTF-8"),
        (b'{"records":[{"value":1}]} x', "Malformed JSON at byte 27: trailing characters"),
        (b'{"records":[{"value":01}]}', "Malformed JSON at byte 22: invalid number"),
        (b'{"records":[{"partition":-1}],}', "Malformed JSON at byte 30: trailing comma in object"),
        (
            b'{"records":[{"value":"\\ud800"},{"value":"\\x"}]}',
            "Malformed JSON at byte 42: invalid escaped character",
        ),
        (b"\xef\xbb\xbf{}", "Malformed JSON at byte 0: invalid character"),
    ],
)
def test_malformed(body: bytes, message: str) -> None:
    """Malformed JSON anywhere is refused with the byte position, behind other mistakes too."""
    assert refusal(parse_produce, body, JSON) == (400, message)


@pytest.mark.parametrize("embedded", [BINARY, JSON, TEXT])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"[{},"])
def test_nesting_without_end_is_refused(embedded: Format, opening: bytes) -> None:
    """A hundred thousand opening brackets are an error of the client's like any other."""
    body = b'{"records":[{"value":' + opening * 100_000
    assert refusal(parse_produce, body, embedded) == (422, "$: nested too deeply")
