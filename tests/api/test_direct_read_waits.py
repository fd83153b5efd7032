"""Direct reads that wait: for the first record, in the way of nobody, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from proxy.kafka.direct_reader import LONGEST_WAIT_MS, READERS
from tests.api.conftest import MakeTopic
from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.verify import produce

BIN = "application/vnd.kafka.binary.v2+json"
V2 = "application/vnd.kafka.v2+json"


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """An empty one."""
    return make_topic()


def begin_read(connection: RawConnection, topic: str, timeout_ms: int) -> None:
    """Send a read from the end on."""
    path = f"/topics/{topic}/partitions/0/records?offset=0&timeout={timeout_ms}"
    connection.send(render_head(f"GET {path} HTTP/1.1"))


def count_reads(url: str) -> int:
    """How many direct reads the proxy has."""
    found = re.search(rb"^koh_direct_reads (\d+)", ask(url, "/metrics").body, re.MULTILINE)
    assert found is not None
    return int(found[1])


def await_reads(url: str, count: int) -> None:
    """Until the proxy has so many; the end of the test is the deadline."""
    while count_reads(url) != count:
        pass


@contextlib.contextmanager
def waiting_reads(url: str, topic: str, count: int) -> Iterator[list[RawConnection]]:
    """So many connections, each with a read that waits."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(count)]
        for connection in connections:
            begin_read(connection, topic, 60_000)
        await_reads(url, count)
        yield connections
    await_reads(url, 0)


def test_waiting_read_returns_with_the_first_record(
    proxy_url: str, topic: str, broker: Broker
) -> None:
    """Long before its timeout of a minute."""
    with connected(proxy_url) as connection:
        begin_read(connection, topic, 60_000)
        asyncio.run(produce(broker.bootstrap, topic, [b"x"]))
        answer = connection.read()
    assert answer.status == 200
    assert answer.body.count(b'"offset":0') == 1


def test_timeout_is_kept_with_nothing_to_read(proxy_url: str, topic: str) -> None:
    """`[]` after the time asked for, also where that is longer than one wait of the broker."""
    for timeout_ms in (0, 300, LONGEST_WAIT_MS + 500):
        begun = time.monotonic()
        answer = ask(proxy_url, f"/topics/{topic}/partitions/0/records?timeout={timeout_ms}")
        took_ms = 1000 * (time.monotonic() - begun)
        assert answer.refusal == (200, BIN, [])
        assert timeout_ms - 5 <= took_ms < timeout_ms + 900


def test_waiting_reads_hold_nothing_up(proxy_url: str, topic: str, broker: Broker) -> None:
    """Beside twenty reads that wait, others and metadata take no longer than without them."""
    with waiting_reads(proxy_url, topic, 20):
        begun = time.monotonic()
        for path in ("/topics", f"/topics/{topic}/partitions/0/offsets", "/ready", "/brokers"):
            assert ask(proxy_url, path).status == 200
        assert time.monotonic() - begun < 1
        asyncio.run(produce(broker.bootstrap, topic, [b"x"]))
        assert ask(proxy_url, f"/topics/{topic}/partitions/0/records").status == 200


def test_more_reads_than_there_may_be_are_503_until_one_ends(
    proxy_url: str, topic: str, broker: Broker
) -> None:
    """50304 with Retry-After; each that waits is served once there is a record."""
    with waiting_reads(proxy_url, topic, READERS) as connections:
        refused = ask(proxy_url, f"/topics/{topic}/partitions/0/records?timeout=0")
        message = f"{READERS} direct reads are waiting already."
        assert refused.refusal == (503, V2, {"error_code": 50304, "message": message})
        assert refused.headers["retry-after"] == "1"
        assert ask(proxy_url, "/ready").status == 200
        asyncio.run(produce(broker.bootstrap, topic, [b"x"]))
        assert {connection.read().status for connection in connections} == {200}
    assert ask(proxy_url, f"/topics/{topic}/partitions/0/records").status == 200


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_goes_away_frees_its_place(proxy_url: str, topic: str, how: str) -> None:
    """All clients leave in the middle of a minute's wait; within seconds there is room again."""
    with waiting_reads(proxy_url, topic, READERS) as connections:
        for connection in connections:
            connection.reset() if how == "reset" else connection.close()
        begun = time.monotonic()
        await_reads(proxy_url, 0)
        assert time.monotonic() - begun < LONGEST_WAIT_MS / 1000 + 2


def test_client_that_leaves_behind_a_pipelined_request_frees_its_place(
    proxy_url: str, topic: str
) -> None:
    """The end of a connection reaches the request that runs, not only the last one sent."""
    with waiting_reads(proxy_url, topic, READERS) as connections:
        for connection in connections:
            connection.send(render_head("GET /live HTTP/1.1"))
        assert count_reads(proxy_url) == READERS
        for connection in connections:
            connection.reset()
        await_reads(proxy_url, 0)
    assert ask(proxy_url, "/live").status == 200


def test_large_read_does_not_block_the_loop(proxy_url: str, topic: str, broker: Broker) -> None:
    """While 150,000 records are decoded and written as JSON, a liveness probe is answered soon."""
    asyncio.run(produce(broker.bootstrap, topic, [b"0123456789"] * 150_000, linger_ms=100))
    slowest_s = 0.0

    async def probe() -> None:
        nonlocal slowest_s
        async with httpx.AsyncClient(base_url=proxy_url, timeout=15) as client:
            path = f"/topics/{topic}/partitions/0/records?offset=0&max_bytes=10000000"
            reading = asyncio.create_task(client.get(path))
            await client.get("/live")
            while not reading.done():
                begun = time.monotonic()
                assert (await client.get("/live")).status_code == 200
                slowest_s = max(slowest_s, time.monotonic() - begun)
            assert (await reading).content.count(b'"offset"') > 50_000

    asyncio.run(probe())
    assert slowest_s < 0.5
