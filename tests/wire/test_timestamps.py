"""RFC 3339 dates and times."""

from __future__ import annotations

import pytest

from proxy.wire.timestamps import parse_date_time


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2020-01-01T00:00:00Z", 1577836800000),
        ("2020-01-01t01:30:00.5+01:30", 1577836800500),
        ("2019-12-31T19:00:00.1239-05:00", 1577836800123),
        ("2024-02-29T23:59:60z", 1709251200000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
def test_reads_date_times(text: str, timestamp_ms: int) -> None:
    """A date and time with its offset is a number of milliseconds."""
    assert parse_date_time(text) == timestamp_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2020-01-01",
        "2020-01-01T00:00:00",
        "2020-01-01 00:00:00Z",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:61Z",
        "2020-01-01T00:00:00+24:00",
        "2020-01-01T00:00:00+0100",
        "2023-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "٢٠٢٠-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z\n",
        "1577836800000",
    ],
)
def test_refuses_anything_else(text: str) -> None:
    """What RFC 3339 does not allow, or lies before the epoch, is no timestamp."""
    assert parse_date_time(text) is None
