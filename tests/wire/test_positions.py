"""Offsets and positions of consumer instances."""

from __future__ import annotations

import pytest

from proxy.model import CommittedOffset, TopicPartition
from proxy.wire.positions import (
    ProcessedOffset,
    Seek,
    parse_commit,
    parse_seek,
    render_committed,
)
from tests.wire.refusals import refusal


@pytest.mark.parametrize("body", [b"", b" ", b"null", b"{}", b'{"offsets":null,"partitions":null}'])
def test_commit_of_everything(body: bytes) -> None:
    """A commit that names nothing means all that was delivered."""
    assert parse_commit(body) is None


@pytest.mark.parametrize("name", ["offsets", "partitions"])
def test_commit_of_offsets(name: str) -> None:
    """A commit names the last offset processed; Kafka stores the next one."""
    body = (
        f'{{"{name}":[{{"topic":"a","partition":0,"offset":41,"metadata":"m"}},'
        '{"topic":"b","partition":1,"offset":-1,"metadata":null}]}'
    ).encode()
    processed = parse_commit(body)
    assert processed == (ProcessedOffset("a", 0, 41, "m"), ProcessedOffset("b", 1, -1))
    assert [offset.as_committed() for offset in processed] == [
        CommittedOffset("a", 0, 42, "m"),
        CommittedOffset("b", 1, 0, ""),
    ]


def test_commit_of_nothing() -> None:
    """An empty list commits nothing, which is not everything."""
    assert parse_commit(b'{"offsets":[]}') == ()


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"[]", 422, "$: expected object | null, got array"),
        (
            b'{"offsets":[],"partitions":[]}',
            422,
            "$: 'offsets' and 'partitions' mean the same, give one of them",
        ),
        (b'{"offsets":[{"topic":"a","partition":0}]}', 422, "$.offsets[0].offset: missing"),
        (
            b'{"offsets":[{"topic":"a","partition":0,"offset":9223372036854775807}]}',
            422,
            "$.offsets[0].offset: expected int <= 9223372036854775806",
        ),
        (
            b'{"offsets":[{"topic":"a","partition":0,"offset":-2}]}',
            422,
            "$.offsets[0].offset: expected int >= -1",
        ),
        (
            b'{"offsets":[{"topic":"a","partition":0,"offset":"1"}]}',
            422,
            "$.offsets[0].offset: expected int, got str",
        ),
        (
            b'{"offsets":[{"topic":"a b","partition":0,"offset":1}]}',
            40002,
            "Invalid parameter 'topic_name' got 'a b'",
        ),
        (b'{"offset":[]}', 422, "Unrecognized field: offset"),
        (b'{"offsets":[}', 400, "Malformed JSON at byte 12: invalid character"),
    ],
)
def test_refused_commits(body: bytes, code: int, message: str) -> None:
    """A commit of the wrong shape is refused with the place."""
    assert refusal(parse_commit, body) == (code, message)


def test_seeks() -> None:
    """A seek names offsets, times, or both."""
    body = (
        b'{"offsets":[{"topic":"a","partition":0,"offset":0,"metadata":"x"}],"timestamps":['
        b'{"topic":"a","partition":1,"timestamp":1577836800000},'
        b'{"topic":"a","partition":2,"timestamp":"2020-01-01T00:00:00Z","metadata":null}]}'
    )
    assert parse_seek(body) == Seek(
        offsets=((TopicPartition("a", 0), 0),),
        timestamps=(
            (TopicPartition("a", 1), 1577836800000),
            (TopicPartition("a", 2), 1577836800000),
        ),
    )
    assert parse_seek(b'{"offsets":[]}') == Seek((), ())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is empty."),
        (b"{}", "$.offsets: missing, and no timestamps either"),
        (
            b'{"offsets":[{"topic":"a","partition":0,"offset":-1}]}',
            "$.offsets[0].offset: expected int >= 0",
        ),
        (
            b'{"timestamps":[{"topic":"a","partition":0,"timestamp":-1}]}',
            "$.timestamps[0].timestamp: expected int >= 0",
        ),
        (
            b'{"timestamps":[{"topic":"a","partition":0,"timestamp":"2020-01-01"}]}',
            (
                "$.timestamps[0].timestamp: neither epoch milliseconds nor an RFC 3339 date and "
                "time since 1970"
            ),
        ),
        (
            b'{"timestamps":[{"topic":"a","partition":0,"offset":1}]}',
            "Unrecognized field: offset at $.timestamps[0]",
        ),
    ],
)
def test_refused_seeks(body: bytes, message: str) -> None:
    """A seek of the wrong shape is refused with the place."""
    assert refusal(parse_seek, body) == (422, message)


def test_renders_committed_offsets() -> None:
    """Committed offsets are Kafka's stored values."""
    assert render_committed([]) == b'{"offsets":[]}'
    assert render_committed(
        [CommittedOffset("a", 0, 42, "é"), CommittedOffset("a", 1, -1, "")]
    ) == (
        '{"offsets":[{"topic":"a","partition":0,"offset":42,"metadata":"é"},'
        '{"topic":"a","partition":1,"offset":-1,"metadata":""}]}'.encode()
    )
