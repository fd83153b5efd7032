"""Answers are compressed for clients that take gzip, where it pays."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator

import orjson
import pytest

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import RawConnection, connected
from tests.brokers.broker import Broker
from tests.brokers.verify import produce


@pytest.fixture(scope="module")
def connection(proxy_url: str) -> Iterator[RawConnection]:
    """One connection for all: a wrong length would break the answer behind it."""
    with connected(proxy_url) as made:
        yield made


@pytest.fixture(scope="module")
def path(make_topic: MakeTopic, broker: Broker) -> str:
    """A direct read of 200 kB."""
    topic = make_topic()
    asyncio.run(produce(broker.bootstrap, topic, [b"v" * 1000] * 200))
    return f"/topics/{topic}/partitions/0/records?offset=0&max_bytes="


@pytest.mark.parametrize(
    "accepted",
    [
        "gzip",
        "GZIP",
        "gzip;q=1.0",
        "gzip ; q=0.001",
        "deflate, gzip;q=0.5, br",
        "*",
        "*;q=0.1",
        "identity;q=0, *;q=0.5",
        "*;q=0, gzip",
    ],
)
@pytest.mark.parametrize("max_bytes", [5_000, 1_000_000])
def test_large_answer_is_compressed(
    connection: RawConnection, path: str, accepted: str, max_bytes: int
) -> None:
    """It says so, its length is that of what is sent, and it is the same inside."""
    plain = connection.get(f"{path}{max_bytes}")
    packed = connection.get(f"{path}{max_bytes}", f"Accept-Encoding: {accepted}")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert orjson.loads(plain.body)[0]["offset"] == 0


@pytest.mark.parametrize(
    "accepted",
    [
        "",
        "identity",
        "br, zstd",
        "gzip;q=0",
        "gzip;q=0.000",
        "*;q=0",
        "gzip;q=0, *",
        "gzipped",
        "x",
    ],
)
def test_answer_is_plain_for_others(connection: RawConnection, path: str, accepted: str) -> None:
    """Quality 0 excludes; what we do not have is not guessed."""
    answer = connection.get(f"{path}5000", f"Accept-Encoding: {accepted}")
    assert "content-encoding" not in answer.headers
    assert orjson.loads(answer.body)[0]["offset"] == 0


def test_fields_that_stand_twice_are_one_list(connection: RawConnection, path: str) -> None:
    """Two `Accept-Encoding` fields count as one."""
    fields = ("Accept-Encoding: br", "Accept-Encoding: gzip")
    assert connection.get(f"{path}5000", *fields).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("small", ["/live", "/brokers", "/nothing"])
def test_small_answer_is_not_compressed(connection: RawConnection, small: str) -> None:
    """It would only grow."""
    answer = connection.get(small, "Accept-Encoding: gzip")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("large", ["/openapi.json", "/metrics", "/docs/page.js"])
def test_other_large_answers_are_compressed_too(connection: RawConnection, large: str) -> None:
    """The document, the page and the metrics."""
    answer = connection.get(large, "Accept-Encoding: gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body)
    head = connection.get(large, "Accept-Encoding: gzip", method="HEAD")
    assert (head.status, head.headers["content-encoding"]) == (200, "gzip")
