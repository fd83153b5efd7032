"""Records as JSON."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UndecodableRecord
from proxy.model import Format, Header
from proxy.wire.produce import parse_produce
from proxy.wire.records import RecordRenderer, describe_undecodable
from tests.wire.json_texts import JSON_TEXTS

BINARY, JSON, TEXT = Format.BINARY, Format.JSON, Format.TEXT


@dataclass(frozen=True)
class Stored:
    """A record as Kafka has it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    timestamp: int = 1577836800000
    topic: str = "t"
    partition: int = 0
    offset: int = 5


@pytest.mark.parametrize(
    ("formats", "record", "expected"),
    [
        (
            (BINARY, BINARY),
            Stored(b"", b"\x00\xff\x80"),
            (
                '{"topic":"t","key":"","value":"AP+A","partition":0,"offset":5,'
                '"timestamp":1577836800000}'
            ),
        ),
        (
            (JSON, JSON),
            Stored(None, b' {"a" : 1e400,"a":"\\ud800"}\n', timestamp=-1),
            (
                '{"topic":"t","key":null,"value": {"a" : 1e400,"a":"\\ud800"}\n,"partition":0,'
                '"offset":5,"timestamp":-1}'
            ),
        ),
        (
            (TEXT, JSON),
            Stored('é"\x00'.encode(), None, topic="a.b-c_D", partition=2**31 - 1, offset=2**63 - 1),
            (
                '{"topic":"a.b-c_D","key":"é\\"\\u0000","value":null,"partition":2147483647,'
                '"offset":9223372036854775807,"timestamp":1577836800000}'
            ),
        ),
        (
            (JSON, TEXT),
            Stored(b"0", b"", [("h", b"\x01"), ("h", b""), ("é", None), ("\ud800", None)]),
            (
                '{"topic":"t","key":0,"value":"","partition":0,"offset":5,"timestamp":1577836800000,'
                '"headers":[{"key":"h","value":"AQ=="},{"key":"h","value":""},{"key":"é","value":null},'
                '{"key":"\ufffd","value":null}]}'
            ),
        ),
    ],
)
def test_renders_records(formats: tuple[Format, Format], record: Stored, expected: str) -> None:
    """A record is one JSON object, key and value in their formats, headers where there are some."""
    assert RecordRenderer(*formats).render(record).decode() == expected


@pytest.mark.parametrize(
    ("formats", "record", "reason"),
    [
        ((JSON, JSON), Stored(None, b""), "the value is not one valid JSON value"),
        ((JSON, JSON), Stored(b"\xef\xbb\xbf1", b"1"), "the key is not one valid JSON value"),
        ((JSON, JSON), Stored(b"1", b"1 2"), "the value is not one valid JSON value"),
        ((JSON, JSON), Stored(b"1", b'"\xff"'), "the value is not one valid JSON value"),
        ((JSON, JSON), Stored(b"1", b"1],[1"), "the value is not one valid JSON value"),
        ((TEXT, BINARY), Stored(b"\xff", b"\xff"), "the key is not valid UTF-8 text"),
        ((BINARY, TEXT), Stored(b"\xff", b"\xed\xa0\x80"), "the value is not valid UTF-8 text"),
    ],
)
def test_refuses_undecodable_records(
    formats: tuple[Format, Format], record: Stored, reason: str
) -> None:
    """What the format cannot show is named by topic, partition and offset."""
    with pytest.raises(UndecodableRecord) as refused:
        RecordRenderer(*formats).render(record)
    error = refused.value
    assert (error.topic, error.partition, error.offset, error.reason) == ("t", 0, 5, reason)


def test_reports_undecodable_records() -> None:
    """A reported record has its bytes as base64, null for null, and says what is wrong."""
    renderer = RecordRenderer(JSON, JSON)
    record = Stored(None, b"\xff")
    with pytest.raises(UndecodableRecord) as refused:
        renderer.render(record)
    assert orjson.loads(renderer.report(record, refused.value)) == {
        "topic": "t",
        "partition": 0,
        "offset": 5,
        "timestamp": 1577836800000,
        "error_code": 40801,
        "error": "the value is not one valid JSON value",
        "key_base64": None,
        "value_base64": "/w==",
    }
    assert describe_undecodable(refused.value) == (
        "Record at offset 5 of topic 't' partition 0 cannot be read: the value is not one valid "
        "JSON value. Read on with invalid=skip or invalid=report, read it as binary, or seek to "
        "offset 6."
    )


def test_joins_records() -> None:
    """The answer is an array, empty too."""
    renderer = RecordRenderer(BINARY, BINARY)
    assert renderer.join([]) == b"[]"
    assert renderer.join([b"{}", b"{}"]) == b"[{},{}]"


@settings(max_examples=40, deadline=None)
@given(JSON_TEXTS)
def test_json_comes_back_as_sent(text: bytes) -> None:
    """What was produced as JSON is in the answer byte for byte."""
    (record,) = parse_produce(b'{"records":[{"value":' + text + b"}]}", JSON)
    rendered = RecordRenderer(JSON, JSON).render(Stored(record.key, record.value))
    assert rendered == (
        b'{"topic":"t","key":null,"value":'
        + text
        + b',"partition":0,"offset":5,"timestamp":1577836800000}'
    )


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=30), st.text(st.characters(), max_size=8), st.sampled_from(Format))
def test_any_record_is_rendered_or_refused(stored: bytes, name: str, form: Format) -> None:
    """No bytes and no header name make anything but JSON or `UndecodableRecord`."""
    record = Stored(stored, stored, [(name, stored)])
    renderer = RecordRenderer(form, form)
    try:
        renderer.render(record).decode()
    except UndecodableRecord as refused:
        assert form is not BINARY
        reported = orjson.loads(renderer.report(record, refused))
        assert b64decode(reported["key_base64"]) == stored
