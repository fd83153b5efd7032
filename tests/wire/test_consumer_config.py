"""Settings of consumer instances."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ApiError
from proxy.model import Format
from proxy.wire.consumer_config import CreateInstance, parse_create
from tests.wire.refusals import refusal


@pytest.mark.parametrize("body", [b"", b" \n", b"null", b"{}", b'{"name":null,"format":null}'])
def test_defaults(body: bytes) -> None:
    """A body that says nothing gives the defaults."""
    assert parse_create(body) == CreateInstance(
        name=None,
        key_format=Format.BINARY,
        value_format=Format.BINARY,
        auto_offset_reset="earliest",
        auto_commit=False,
        fetch_min_bytes=1,
        request_timeout_ms=None,
        isolation_level="read_uncommitted",
        ignored=(),
    )


INVALID = "Invalid consumer configuration: Invalid value "

TYPED = (
    b'{"name":"a/b \xc3\xa9","format":"json","key.format":"text","auto.offset.reset":"none",'
    b'"auto.commit.enable":true,"fetch.min.bytes":-1,"consumer.request.timeout.ms":0,'
    b'"isolation.level":"read_committed"}'
)
AS_STRINGS = (
    b'{"name":"a/b \xc3\xa9","format":"JSON","key.format":"Text","auto.offset.reset":"NONE",'
    b'"enable.auto.commit":"TRUE","fetch.min.bytes":"-1","consumer.request.timeout.ms":" 0 ",'
    b'"isolation.level":"READ_COMMITTED"}'
)
OLD_NAMES = (
    b'{"name":"x","id":"a/b \xc3\xa9","value.format":"json","key.format":"text",'
    b'"auto.offset.reset":"none","auto.commit.enable":"true","enable.auto.commit":true,'
    b'"responseMinBytes":-1,"requestWaitMs":"0","isolation.level":"read_committed"}'
)


@pytest.mark.parametrize("body", [TYPED, AS_STRINGS, OLD_NAMES])
def test_settings(body: bytes) -> None:
    """Settings are taken typed, as strings, and under Confluent's old names."""
    assert parse_create(body) == CreateInstance(
        name="a/b é",
        key_format=Format.TEXT,
        value_format=Format.JSON,
        auto_offset_reset="none",
        auto_commit=True,
        fetch_min_bytes=-1,
        request_timeout_ms=0,
        isolation_level="read_committed",
    )


def test_kafkas_own_properties_are_ignored() -> None:
    """A property of Kafka's consumer that means nothing here is named, not refused."""
    body = b'{"max.poll.records":5,"sasl.jaas.config":{"a":[]},"client.id":"x"}'
    assert parse_create(body).ignored == ("max.poll.records", "sasl.jaas.config", "client.id")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"x":1}', 422, "Unrecognized field: x"),
        (b'{"acks":1}', 422, "Unrecognized field: acks"),
        (b'{"format":"avro"}', 422, "Invalid format type."),
        (b'{"format":1}', 422, "Invalid format type."),
        (b'{"value.format":""}', 422, "Invalid format type."),
        (b"[]", 422, "$: expected object | null, got array"),
        (b'{"name":1}', 422, "$.name: expected a string"),
        (b'{"name":""}', 40002, "Invalid parameter 'name' got ''"),
        (b'{"name":"My\\rconsumer"}', 40002, "Invalid parameter 'name' got 'My␍consumer'"),
        (b'{"name":"\\ud800"}', 422, "$.name: an unpaired surrogate is no text"),
        (b'{"name":1', 400, "Malformed JSON at byte 9: unexpected end"),
        (
            b'{"auto.offset.reset":"bad-config"}',
            42204,
            (
                INVALID + "bad-config for configuration "
                "auto.offset.reset: String must be one of: earliest, latest, none"
            ),
        ),
        (
            b'{"isolation.level":1}',
            42204,
            (
                INVALID + "1 for configuration isolation.level: "
                "String must be one of: read_uncommitted, read_committed"
            ),
        ),
        (
            b'{"auto.commit.enable":1}',
            42204,
            (
                INVALID + "1 for configuration auto.commit.enable: "
                "Expected value to be either true or false"
            ),
        ),
        (
            b'{"fetch.min.bytes":10000001}',
            42204,
            (
                INVALID + "10000001 for configuration "
                "fetch.min.bytes: Value must be no more than 10000000"
            ),
        ),
        (
            b'{"fetch.min.bytes":"-2"}',
            42204,
            (INVALID + "-2 for configuration fetch.min.bytes: Value must be at least -1"),
        ),
        (
            b'{"fetch.min.bytes":true}',
            42204,
            (INVALID + "true for configuration fetch.min.bytes: Not a number of type INT"),
        ),
        (
            b'{"consumer.request.timeout.ms":"1s"}',
            42204,
            (
                INVALID + "1s for configuration "
                "consumer.request.timeout.ms: Not a number of type INT"
            ),
        ),
        (
            b'{"auto.commit.enable":true,"enable.auto.commit":"false"}',
            42204,
            (
                "Invalid consumer configuration: enable.auto.commit and auto.commit.enable "
                "contradict each other."
            ),
        ),
    ],
)
def test_refusals(body: bytes, code: int, message: str) -> None:
    """A wrong name, format or value is refused in the contract's words."""
    assert refusal(parse_create, body) == (code, message)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["name", "format", "fetch.min.bytes", "auto.commit.enable", "isolation.level"]),
    st.one_of(st.text(alphabet='0-1e"\\ud8[]{}:,nultrfase', max_size=12), st.text(max_size=6)),
)
def test_any_setting_is_taken_or_refused(name: str, text: str) -> None:
    """No value makes anything but settings or an `ApiError`."""
    try:
        parse_create(f'{{"{name}":{text}}}'.encode())
    except ApiError as refused:
        assert refused.code in (400, 422, 42204, 40002)
