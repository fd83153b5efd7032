"""What consumer instances read from."""

from __future__ import annotations

import pytest

from proxy.model import TopicPartition
from proxy.wire.consumers import (
    Subscription,
    parse_partitions,
    parse_subscription,
    render_assignments,
    render_instance,
    render_subscription,
)
from tests.wire.refusals import refusal


def test_subscriptions() -> None:
    """A subscription is topics, each once, or a pattern."""
    assert parse_subscription(b'{"topics":["b","a","b"],"topic_pattern":null}') == Subscription(
        ("b", "a"), None
    )
    assert parse_subscription(b'{"topic_pattern":"a[[b].*"}') == Subscription(None, "a[[b].*")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", 422, "The request body is empty."),
        (b"{}", 422, "$.topics: name at least one topic, or give a topic_pattern"),
        (b'{"topics":[]}', 422, "$.topics: name at least one topic, or give a topic_pattern"),
        (b'{"topics":"a"}', 422, "$.topics: expected array | null, got str"),
        (b'{"topics":["a",1]}', 422, "$.topics[1]: expected str, got int"),
        (b'{"topics":["a","a/b"]}', 40002, "Invalid parameter 'topic_name' got 'a/b'"),
        (b'{"topics":[".."]}', 40002, "Invalid parameter 'topic_name' got '..'"),
        (b'{"topic":["a"]}', 422, "Unrecognized field: topic"),
        (b'{"topics":["a"]', 400, "Malformed JSON at byte 15: unexpected end"),
        (
            b'{"topics":["a"],"topic_pattern":"b"}',
            40903,
            "Subscription to topics, partitions and pattern are mutually exclusive.",
        ),
        (b'{"topic_pattern":""}', 422, "$.topic_pattern: expected 1 to 10000 characters"),
        (
            b'{"topic_pattern":"("}',
            422,
            ("$.topic_pattern: not a regular expression of RE2: missing ): ("),
        ),
    ],
)
def test_refused_subscriptions(body: bytes, code: int, message: str) -> None:
    """Both, neither, an illegal name and a bad pattern are refused."""
    assert refusal(parse_subscription, body) == (code, message)


@pytest.mark.parametrize(
    "pattern", ["(" * 4999, "(?=a)b", r"(a)\\1", "(a{999}){999}", "x" * 10_001, "(?P<a"]
)
def test_hostile_patterns(pattern: str) -> None:
    """A pattern that RE2 does not take, to keep its time linear, is the client's mistake."""
    code, _ = refusal(parse_subscription, f'{{"topic_pattern":"{pattern}"}}'.encode())
    assert code == 422


def test_partitions() -> None:
    """Partitions are a list, each once, which may be empty."""
    body = (
        b'{"partitions":[{"topic":"a","partition":0},{"topic":"b","partition":2147483647},'
        b'{"topic":"a","partition":0}]}'
    )
    expected = (TopicPartition("a", 0), TopicPartition("b", 2**31 - 1))
    assert parse_partitions(body) == expected
    assert parse_partitions(b'{"partitions":[]}') == ()


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", 422, "The request body is empty."),
        (b"{}", 422, "$.partitions: missing"),
        (b'{"partitions":[{"topic":"a"}]}', 422, "$.partitions[0].partition: missing"),
        (
            b'{"partitions":[{"topic":"a","partition":0},{"topic":"a","partition":-1}]}',
            422,
            "$.partitions[1].partition: expected int >= 0",
        ),
        (
            b'{"partitions":[{"topic":"a","partition":0,"offset":1}]}',
            422,
            "Unrecognized field: offset at $.partitions[0]",
        ),
        (
            b'{"partitions":[{"topic":"\\n","partition":0}]}',
            40002,
            "Invalid parameter 'topic_name' got '␊'",
        ),
    ],
)
def test_refused_partitions(body: bytes, code: int, message: str) -> None:
    """A partition needs a legal topic and a number, and nothing else."""
    assert refusal(parse_partitions, body) == (code, message)


def test_renders() -> None:
    """Instances, subscriptions and assignments are shown as both peers show them."""
    assert render_instance('a"é', "http://h/consumers/g/instances/a%22") == (
        '{"instance_id":"a\\"é","base_uri":"http://h/consumers/g/instances/a%22"}'.encode()
    )
    assert render_subscription([]) == b'{"topics":[]}'
    assert render_subscription(["a", "b"]) == b'{"topics":["a","b"]}'
    assert render_assignments([]) == b'{"partitions":[]}'
    assert render_assignments([TopicPartition("a", 0), TopicPartition("b", 1)]) == (
        b'{"partitions":[{"topic":"a","partition":0},{"topic":"b","partition":1}]}'
    )
