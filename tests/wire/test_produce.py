"""Produce requests and their answers."""

from __future__ import annotations

from base64 import b64encode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ApiError
from proxy.model import Format, OutgoingRecord, Produced
from proxy.wire.errors import render_error
from proxy.wire.produce import parse_produce, render_all_failed, render_produced
from tests.wire.json_texts import JSON_TEXTS
from tests.wire.refusals import refusal

BINARY, JSON, TEXT = Format.BINARY, Format.JSON, Format.TEXT


def describe(failure: Exception) -> tuple[int, str]:
    """The code and text of a failure, as the edge gives them."""
    return 40402, str(failure)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a" : 1 }',
        b"[\n1,\t2\r\n]",
        b"0",
        b"false",
        b'""',
        b"[]",
        b"{}",
        b"123456789012345678901234567890",
        b"0.1234567890123456789012345",
        b"1e400",
        b'{"b":1,"a":2,"b":3}',
        b'"\\ud800"',
        b'"\\\\ud800 \\udc00 \\ud83d\\ude00"',
        '"é😀"'.encode(),
    ],
)
def test_json_is_stored_as_sent(text: bytes) -> None:
    """A JSON key or value is stored byte for byte, without the space around it."""
    body = b'{"records":[{"key": ' + text + b' ,"value":\n' + text + b"\t}]}"
    assert parse_produce(body, JSON) == [OutgoingRecord(text, text)]


@settings(max_examples=40, deadline=None)
@given(JSON_TEXTS, JSON_TEXTS)
def test_any_json_is_stored_as_sent(key: bytes, value: bytes) -> None:
    """Whatever the JSON text, its bytes are stored."""
    body = b'{"records":[{"key":' + key + b'},{"value":  ' + value + b"}]}"
    assert parse_produce(body, JSON) == [OutgoingRecord(key, None), OutgoingRecord(None, value)]


@pytest.mark.parametrize("embedded", [BINARY, JSON, TEXT])
def test_null_and_absent_are_null(embedded: Format) -> None:
    """A key or value that is null or not there is Kafka null, both together too."""
    body = b'{"records":[{"key":null,"value": null },{}]}'
    assert parse_produce(body, embedded) == [OutgoingRecord(None, None), OutgoingRecord(None, None)]


def test_binary_is_decoded() -> None:
    """Base64 becomes the bytes it stands for; an empty string is empty, not null."""
    body = b'{"records":[{"key":"","value":"AP+A"},{"value":"\\/w=="}]}'
    assert parse_produce(body, BINARY) == [
        OutgoingRecord(b"", b"\x00\xff\x80"),
        OutgoingRecord(None, b"\xff"),
    ]


@pytest.mark.parametrize(
    "text", ["AA", "AA=", "A", "AA==AA==", "A A=", "AA==\\n", "-_==", "é", "==", "AA=A"]
)
def test_binary_is_strict(text: str) -> None:
    """Base64 without its padding, or with anything not in its alphabet, is refused."""
    body = f'{{"records":[{{"value":"AA=="}},{{"value":"{text}"}}]}}'.encode()
    assert refusal(parse_produce, body, BINARY) == (
        422,
        "$.records[1].value: not standard base64 with its padding (RFC 4648, section 4)",
    )


def test_text_is_stored_as_utf_8() -> None:
    """A text is stored as its UTF-8 bytes, escapes resolved."""
    body = '{"records":[{"key":"","value":"é\\ud83d\\ude00\\n\\u0000\\\\ud800"}]}'.encode()
    assert parse_produce(body, TEXT) == [OutgoingRecord(b"", "é😀\n\0\\ud800".encode())]


@pytest.mark.parametrize(
    ("embedded", "body", "place"),
    [
        (TEXT, b'{"records":[{"value":"a"},{"value":"\\ud800"}]}', "$.records[1].value"),
        (
            JSON,
            (
                b'{"records":[{"value":"\\ud800"},{"value":["\\udc00"],"headers":[{"key":"a"},'
                b'{"name":"\\ud800"}]}]}'
            ),
            "$.records[1].headers[1].name",
        ),
    ],
)
def test_half_a_surrogate_pair_is_no_text(embedded: Format, body: bytes, place: str) -> None:
    """Where text has to become UTF-8, half a surrogate pair is refused, with its place."""
    assert refusal(parse_produce, body, embedded) == (
        422,
        f"{place}: an unpaired surrogate is no text",
    )


def test_half_a_pair_in_json_harms_no_text_beside_it() -> None:
    """A JSON value that only JSON can express leaves the other texts of its request alone."""
    body = b'{"records":[{"value":"\\ud800","headers":[{"key":"\\ud83d\\ude00\\\\"}]}]}'
    assert parse_produce(body, JSON) == [
        OutgoingRecord(None, b'"\\ud800"', headers=(("😀\\", None),))
    ]


def test_extras_are_read() -> None:
    """Headers keep order, duplicates, null and empty; time is a number or a date."""
    body = (
        b'{"key_schema":null,"key_schema_id":1,"value_schema":"x","value_schema_id":null,"records":['
        b'{"value":"AQ==","partition":3,"timestamp":1577836800000,"headers":['
        b'{"key":"h","value":"AQ=="},{"name":"h","value":""},{"key":"","value":null},{"name":"x"}]},'
        b'{"timestamp":"2020-01-01T01:00:00+01:00","partition":null,"headers":[]},'
        b'{"timestamp":0,"partition":0,"headers":null}]}'
    )
    headers = (("h", b"\x01"), ("h", b""), ("", None), ("x", None))
    assert parse_produce(body, BINARY) == [
        OutgoingRecord(None, b"\x01", 3, 1577836800000, headers),
        OutgoingRecord(None, None, None, 1577836800000),
        OutgoingRecord(None, None, 0, 0),
    ]


@pytest.mark.parametrize("embedded", [BINARY, JSON, TEXT])
def test_a_records_partition_wins(embedded: Format) -> None:
    """The path's partition holds for the records that name none, 0 is a name."""
    body = b'{"records":[{"partition":0},{},{"partition":null}]}'
    partitions = [record.partition for record in parse_produce(body, embedded, 7)]
    assert partitions == [0, 7, 7]


def test_deep_json_is_taken_on_a_deep_stack() -> None:
    """500 levels of nesting are always taken, however deep in calls we are."""
    value = b"[" * 500 + b'"\\ud800"' + b"]" * 500

    def parse_below(calls: int) -> list[OutgoingRecord]:
        if calls:
            return parse_below(calls - 1)
        return parse_produce(b'{"records":[{"value":' + value + b"}]}", JSON)

    assert parse_below(250) == [OutgoingRecord(None, value)]


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='{}[]:,"records\\ukeyvalue0-1', max_size=40).map(
            lambda text: b'{"records":[{"value":' + text.encode()
        ),
    ),
    st.sampled_from(Format),
)
def test_any_bytes_give_records_or_a_refusal(body: bytes, embedded: Format) -> None:
    """No bytes make anything but records or an `ApiError` of 400 or 422."""
    try:
        assert parse_produce(body, embedded)
    except ApiError as refused:
        assert refused.code in (400, 422)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_come_through_base64(stored: bytes) -> None:
    """Whatever the bytes, base64 carries them."""
    body = b'{"records":[{"value":"' + b64encode(stored) + b'"}]}'
    assert parse_produce(body, BINARY) == [OutgoingRecord(None, stored)]


def test_renders_outcomes() -> None:
    """One entry per record, in order; a failed one has its code, and no offset."""
    outcomes = [
        Produced(0, 3),
        Produced(None, None, ValueError('"t" is gone')),
        Produced(7, None, ValueError("é")),
        Produced(1, 2**63 - 1),
    ]
    entries = (
        '[{"partition":0,"offset":3,"error_code":null,"error":null},'
        '{"partition":null,"offset":null,"error_code":40402,"error":"\\"t\\" is gone"},'
        '{"partition":7,"offset":null,"error_code":40402,"error":"é"},'
        '{"partition":1,"offset":9223372036854775807,"error_code":null,"error":null}]'
    )
    answer = render_produced(outcomes, describe)
    assert answer.decode() == (
        '{"offsets":' + entries + ',"key_schema_id":null,"value_schema_id":null}'
    )
    assert orjson.loads(answer)
    failed = render_all_failed(render_error(40401, "Topic 't' not found."), outcomes[1:2], describe)
    assert orjson.loads(failed) == {
        "error_code": 40401,
        "message": "Topic 't' not found.",
        "offsets": [
            {"partition": None, "offset": None, "error_code": 40402, "error": '"t" is gone'}
        ],
    }
