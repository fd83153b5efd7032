"""
Consumer instances: what they read from. Their settings are in `consumer_config.py`, offsets and
positions in `positions.py`.

Source: CONTRACT.md section 4; Confluent REST API v2, `K/resources/v2/ConsumersResource.java`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
import re2

from proxy.errors import ApiError
from proxy.model import TopicPartition
from proxy.wire.json_body import decode
from proxy.wire.json_text import quote
from proxy.wire.parameters import MAX_PARTITION, check_topic_name

# Forty of the longest topic names still fit; compiling blocks the loop, some 20 ms at this size.
_MAX_PATTERN_LENGTH = 10_000

# Without this RE2 writes to standard error what it refuses.
_RE2_OPTIONS = re2.Options()
_RE2_OPTIONS.log_errors = False

PartitionNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_PARTITION)]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Topics by name, or by a pattern that a whole name matches; the other one is None."""

    topics: tuple[str, ...] | None
    pattern: str | None


class _Subscription(msgspec.Struct, forbid_unknown_fields=True):
    topics: list[str] | None = None
    topic_pattern: str | None = None


class _Partition(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    partition: PartitionNumber


class _Partitions(msgspec.Struct, forbid_unknown_fields=True):
    partitions: list[_Partition]


_subscription_decoder = msgspec.json.Decoder(_Subscription)
_partitions_decoder = msgspec.json.Decoder(_Partitions)


def parse_subscription(body: bytes) -> Subscription:
    """
    What to subscribe to; a topic named twice counts once.

    Shape: {"topics": ["a"]} or {"topic_pattern": "a.*"}, a regular expression of RE2
    Raises: ApiError 400 on malformed JSON; 40903 on both; 422 on neither and on a bad pattern;
    40002 on an illegal topic name
    """
    request, _ = decode(body, _subscription_decoder)
    topics, pattern = request.topics, request.topic_pattern
    if topics is not None and pattern is not None:
        raise ApiError(
            40903, "Subscription to topics, partitions and pattern are mutually exclusive."
        )
    if pattern is not None:
        _check_pattern(pattern)
        return Subscription(None, pattern)
    if not topics:
        raise ApiError(422, "$.topics: name at least one topic, or give a topic_pattern")
    return Subscription(tuple(dict.fromkeys(map(check_topic_name, topics))), None)


def parse_partitions(body: bytes) -> tuple[TopicPartition, ...]:
    """
    The partitions to assign (none takes all away), of which offsets are asked, or to go to the
    beginning or end of; each once.

    Shape: {"partitions": [{"topic", "partition"}]}
    Raises: ApiError 400 on malformed JSON; 422 with the JSON path; 40002 on an illegal topic name
    """
    request, _ = decode(body, _partitions_decoder)
    return tuple(
        dict.fromkeys(
            TopicPartition(check_topic_name(entry.topic), entry.partition)
            for entry in request.partitions
        )
    )


def render_instance(instance_id: str, base_uri: str) -> bytes:
    """
    A new consumer instance.

    Shape: {"instance_id", "base_uri"}
    """
    return b'{"instance_id":%b,"base_uri":%b}' % (quote(instance_id), quote(base_uri))


def render_subscription(topics: Iterable[str]) -> bytes:
    """
    The topics subscribed to, in the order given.

    Shape: {"topics": ["a"]}
    """
    return b'{"topics":[%b]}' % b",".join(map(quote, topics))


def render_assignments(partitions: Iterable[TopicPartition]) -> bytes:
    """
    The partitions assigned, in the order given.

    Shape: {"partitions": [{"topic", "partition"}]}
    """
    return b'{"partitions":[%b]}' % b",".join(
        b'{"topic":%b,"partition":%d}' % (quote(topic), partition)
        for topic, partition in partitions
    )


def _check_pattern(pattern: str) -> None:
    if not 1 <= len(pattern) <= _MAX_PATTERN_LENGTH:
        raise ApiError(422, f"$.topic_pattern: expected 1 to {_MAX_PATTERN_LENGTH} characters")
    try:
        re2.compile(pattern, _RE2_OPTIONS)
    except re2.error as exc:
        reason = exc.args[0].decode(errors="replace")
        raise ApiError(422, f"$.topic_pattern: not a regular expression of RE2: {reason}") from exc
