"""What a URL says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ApiError
from proxy.model import TopicPartition
from proxy.wire.parameters import (
    InvalidPolicy,
    StartFrom,
    StartOffset,
    check_name,
    check_topic_name,
    decode_segment,
    integer_parameter,
    invalid_policy,
    parse_partition_number,
    parse_query,
    parse_start_offset,
    partitions_parameter,
)
from tests.wire.refusals import refusal

STRANGE_NUMBERS = [
    "",
    "abc",
    "1_000",
    "+5",
    " 5",
    "5 ",
    "5\n",
    "٣",
    "1.0",
    "1e3",
    "0x1",
    "--1",
    "-",
]


def test_queries() -> None:
    """A query is names with their values in order, percent-decoded, plus for space."""
    assert parse_query(b"") == {}
    assert parse_query(b"a=1&b=%C3%A9+%2B%00&&a=2&c&d==") == {
        "a": ["1", "2"],
        "b": ["é +\0"],
        "c": [""],
        "d": ["="],
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"a=%zz", "Invalid parameter 'a' got '%zz'"),
        (b"a=%e", "Invalid parameter 'a' got '%e'"),
        (b"a=%ff", "Invalid parameter 'a' got '%ff'"),
        (b"%ff=1", "Invalid parameter '%ff' got '%ff'"),
        (b"a=\xff", "Invalid parameter 'a' got 'ÿ'"),
    ],
)
def test_broken_queries(query: bytes, message: str) -> None:
    """A query that is no percent-encoded UTF-8 is refused."""
    assert refusal(parse_query, query) == (40002, message)


def test_segments() -> None:
    """A path segment is percent-decoded, a plus sign stays."""
    assert decode_segment("a+b", "topic_name") == "a+b"
    assert decode_segment("a%2Fb%C3%A9", "topic_name") == "a/bé"
    for segment in ("%", "%zz", "%ff", "\ud800%41"):
        code, message = refusal(decode_segment, segment, "topic_name")
        assert (code, message[:36]) == (40002, "Invalid parameter 'topic_name' got '")


def test_numbers() -> None:
    """A number is within its limits, or absent."""
    query = {"timeout": ["0"], "max_bytes": ["-1"], "long": ["9223372036854775807"]}
    assert integer_parameter(query, "timeout", 1000, 0, 10) == 0
    assert integer_parameter(query, "max_bytes", 5, -1, 10) == -1
    assert integer_parameter(query, "long", 0, 0, 2**63 - 1) == 2**63 - 1
    assert integer_parameter(query, "absent", 7, 0, 10) == 7
    assert integer_parameter(query, "absent", None, 0, 10) is None


@pytest.mark.parametrize("text", [*STRANGE_NUMBERS, "-1", "11", "1" + "0" * 30, "9" * 5000])
def test_strange_numbers(text: str) -> None:
    """Anything but ASCII digits within the limits is refused."""
    code, message = refusal(integer_parameter, {"timeout": [text]}, "timeout", 1, 0, 10)
    shown = text.replace("\n", "␊")
    expected = shown if len(shown) <= 100 else "9" * 100 + "…"
    assert (code, message) == (40002, f"Invalid parameter 'timeout' got '{expected}'")


def test_a_number_given_twice() -> None:
    """A parameter that is given twice means nothing."""
    assert refusal(integer_parameter, {"timeout": ["1", "2"]}, "timeout", 1, 0, 10) == (
        40002,
        "Invalid parameter 'timeout' got '1,2'",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", StartOffset(StartFrom.OFFSET, 0)),
        ("9223372036854775807", StartOffset(StartFrom.OFFSET, 2**63 - 1)),
        ("earliest", StartOffset(StartFrom.EARLIEST)),
        ("LATEST", StartOffset(StartFrom.LATEST)),
        ("-10", StartOffset(StartFrom.LAST, 10)),
        ("-0", StartOffset(StartFrom.LAST, 0)),
    ],
)
def test_start_offsets(text: str, expected: StartOffset) -> None:
    """A read starts at an offset, at either end, or so many before the end."""
    assert parse_start_offset(text) == expected


@pytest.mark.parametrize(
    "text", [*STRANGE_NUMBERS, "9223372036854775808", "-9223372036854775808", "last", "lateﬆ"]
)
def test_strange_start_offsets(text: str) -> None:
    """Anything else is refused in pandaproxy's words."""
    shown = text.replace("\n", "␊")
    assert refusal(parse_start_offset, text) == (40002, f"Invalid parameter 'offset' got '{shown}'")


def test_invalid_policies() -> None:
    """Bad records fail the read unless the client says otherwise."""
    assert invalid_policy({}) is InvalidPolicy.FAIL
    assert invalid_policy({"invalid": ["skip"]}) is InvalidPolicy.SKIP
    assert invalid_policy({"invalid": ["report"]}) is InvalidPolicy.REPORT
    for texts in (["no"], [""], ["skip", "skip"]):
        assert refusal(invalid_policy, {"invalid": texts})[0] == 40002


def test_partitions_of_a_query() -> None:
    """Topics and partitions pair up in order, one topic goes with all partitions."""
    assert partitions_parameter({}) is None
    assert partitions_parameter({"topic": ["a"], "partition": ["0", "2"]}) == (
        TopicPartition("a", 0),
        TopicPartition("a", 2),
    )
    assert partitions_parameter({"topic": ["a", "b"], "partition": ["0", "1"]}) == (
        TopicPartition("a", 0),
        TopicPartition("b", 1),
    )
    for query in (
        {"topic": ["a"]},
        {"partition": ["0"]},
        {"topic": ["a", "b"], "partition": ["0"]},
        {"topic": ["a"], "partition": ["x"]},
        {"topic": ["a/b"], "partition": ["0"]},
    ):
        assert refusal(partitions_parameter, query)[0] == 40002


@pytest.mark.parametrize("topic", ["a", "A.b_c-9", "...", "x" * 249])
def test_topic_names(topic: str) -> None:
    """What Kafka allows is a topic name."""
    assert check_topic_name(topic) == topic


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "a b", "é", "a\n", "x" * 250])
def test_illegal_topic_names(topic: str) -> None:
    """What Kafka does not allow is refused before anyone asks for it."""
    code, message = refusal(check_topic_name, topic)
    assert (code, message[:36]) == (40002, "Invalid parameter 'topic_name' got '")


def test_names() -> None:
    """A group or instance may have any name without control characters."""
    for name in ("a/b é %2F", "x" * (2**15 - 1)):
        assert check_name(name, "group_name") == name
    assert refusal(check_name, "My\rconsumer\x7f", "group_name") == (
        40002,
        "Invalid parameter 'group_name' got 'My␍consumer␡'",
    )
    for name in ("", "é" * 2**14, "\ud800"):
        assert refusal(check_name, name, "instance")[0] == 40002


def test_partition_numbers() -> None:
    """A partition is a number from 0."""
    assert parse_partition_number("0") == 0
    assert parse_partition_number("2147483647") == 2**31 - 1
    for text in (*STRANGE_NUMBERS, "-1", "-0", "2147483648", "foo"):
        shown = text.replace("\n", "␊")
        assert refusal(parse_partition_number, text) == (
            40002,
            f"Invalid parameter 'partition_id' got '{shown}'",
        )


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(st.binary(max_size=30), st.text(alphabet="a%2fF&=+é", max_size=12).map(str.encode))
)
def test_any_query_is_read_or_refused(query: bytes) -> None:
    """No query makes anything but names and values or an `ApiError` 40002."""
    try:
        parse_query(query)
    except ApiError as refused:
        assert refused.code == 40002
