"""
What a URL says: path segments, the query, names and numbers in it.

Rule 1: text is percent-decoded UTF-8, numbers are ASCII digits with at most a minus sign in front.
Rule 2: what is wrong is 400/40002 `Invalid parameter '<name>' got '<text>'`, control characters
        shown by their pictures (pandaproxy: U+2400 + c, DEL as U+2421).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from proxy.errors import ApiError
from proxy.model import TopicPartition

Query = dict[str, list[str]]

D = TypeVar("D", int, None)

MAX_PARTITION = 2**31 - 1
MAX_OFFSET = 2**63 - 1

# Kafka: `org.apache.kafka.common.internals.Topic`, LEGAL_CHARS and MAX_NAME_LENGTH.
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A string of Kafka's protocol has a length of 16 bits, with a sign.
_MAX_NAME_BYTES = 2**15 - 1

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_SHOWN = {c: 0x2400 + c for c in range(0x20)} | {0x7F: 0x2421}
_MAX_SHOWN = 100


class InvalidPolicy(StrEnum):
    """What a fetch does about records that its format cannot show (CONTRACT.md section 4)."""

    FAIL = "fail"
    SKIP = "skip"
    REPORT = "report"


class StartFrom(StrEnum):
    """What the number of a `StartOffset` counts."""

    OFFSET = "offset"
    EARLIEST = "earliest"
    LATEST = "latest"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class StartOffset:
    """Where a direct read starts. `number` is the offset, or how many of the last; else 0."""

    start: StartFrom
    number: int = 0


def refuse_parameter(name: str, got: str) -> ApiError:
    """The 40002 for a parameter's text."""
    return ApiError(40002, f"Invalid parameter '{show_text(name)}' got '{show_text(got)}'")


def show_text(text: str) -> str:
    """A client's text as messages show it: control characters as pictures, the end cut off."""
    shown = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return shown.translate(_SHOWN)


def decode_segment(segment: str, name: str) -> str:
    """
    A path segment, percent-decoded; a plus sign stays one.

    Raises: ApiError 40002 when it is broken or no UTF-8
    """
    if segment.isascii() and "%" not in segment:
        return segment
    try:
        if _BROKEN_ESCAPE.search(segment):
            raise refuse_parameter(name, segment)
        return unquote_to_bytes(segment.encode()).decode()
    except UnicodeError as exc:
        raise refuse_parameter(name, segment.encode("ascii", "replace").decode()) from exc


def parse_query(query_string: bytes) -> Query:
    """
    The query, each name with its values in order; a name without "=" has the value "".

    Raises: ApiError 40002 when it is broken or no UTF-8
    """
    query: Query = {}
    if not query_string:
        return query
    for pair in query_string.decode("latin-1").split("&"):
        if pair:
            name, _, text = pair.replace("+", " ").partition("=")
            name = _decode_pair_part(name, name)
            query.setdefault(name, []).append(_decode_pair_part(text, name))
    return query


def integer_parameter(query: Query, name: str, default: D, low: int, high: int) -> int | D:
    """
    A number of the query within `low` and `high`, or the default where it is not given.

    Raises: ApiError 40002 on anything else, also on a name given twice
    """
    texts = query.get(name)
    if texts is None:
        return default
    number = _parse_number(texts[0])
    if len(texts) > 1 or number is None or not low <= number <= high:
        raise refuse_parameter(name, ",".join(texts))
    return number


def parse_start_offset(text: str) -> StartOffset:
    """
    Where a direct read starts: a number, `earliest`, `latest`, or `-N` for the last N.

    Raises: ApiError 40002
    """
    word = text.lower() if text.isascii() else text
    if word in (StartFrom.EARLIEST, StartFrom.LATEST):
        return StartOffset(StartFrom(word))
    number = _parse_number(text)
    if number is None or abs(number) > MAX_OFFSET:
        raise refuse_parameter("offset", text)
    if text.startswith("-"):
        return StartOffset(StartFrom.LAST, -number)
    return StartOffset(StartFrom.OFFSET, number)


def invalid_policy(query: Query) -> InvalidPolicy:
    """
    The `invalid` parameter of a fetch; `fail` where it is not given.

    Raises: ApiError 40002
    """
    text = ",".join(query.get("invalid", ["fail"]))
    try:
        return InvalidPolicy(text)
    except ValueError as exc:
        raise refuse_parameter("invalid", text) from exc


def partitions_parameter(query: Query) -> tuple[TopicPartition, ...] | None:
    """
    The partitions of `?topic=&partition=`: pairs in order, or one topic for all; None for none.

    Raises: ApiError 40002
    """
    topics, partitions = query.get("topic", []), query.get("partition", [])
    if not topics and not partitions:
        return None
    if len(topics) == 1:
        topics = topics * len(partitions)
    if len(topics) != len(partitions) or not partitions:
        raise refuse_parameter("partition", ",".join(partitions))
    return tuple(
        TopicPartition(check_topic_name(topic, "topic"), parse_partition_number(text, "partition"))
        for topic, text in zip(topics, partitions, strict=True)
    )


def check_topic_name(topic: str, name: str = "topic_name") -> str:
    """
    The topic name, if Kafka allows it.

    Raises: ApiError 40002
    Source: Kafka, `org.apache.kafka.common.internals.Topic.validate`
    """
    if _TOPIC_NAME.fullmatch(topic) is None or topic in (".", ".."):
        raise refuse_parameter(name, topic)
    return topic


def check_name(text: str, name: str) -> str:
    """
    The name of a group (`group_name`) or an instance (`instance`): anything but control characters.

    Raises: ApiError 40002, also on an empty one and on more than Kafka's protocol takes
    """
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as exc:
        raise refuse_parameter(name, text.encode("ascii", "replace").decode()) from exc
    if not 1 <= size_bytes <= _MAX_NAME_BYTES or _CONTROL.search(text):
        raise refuse_parameter(name, text)
    return text


def parse_partition_number(text: str, name: str = "partition_id") -> int:
    """
    The number of a partition.

    Raises: ApiError 40002
    """
    number = _parse_number(text)
    if number is None or text.startswith("-") or number > MAX_PARTITION:
        raise refuse_parameter(name, text)
    return number


def _parse_number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _decode_pair_part(text: str, name: str) -> str:
    if text.isascii() and "%" not in text:
        return text
    try:
        if _BROKEN_ESCAPE.search(text):
            raise refuse_parameter(name, text)
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError as exc:
        raise refuse_parameter(name, text) from exc
