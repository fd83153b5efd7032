"""SIGTERM and SIGINT: what is told to whom, how soon, and with which exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import orjson
import pytest

from proxy.dev.ports import pick_port
from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.brokers.verify import count_members, create_topic, delete_topics, read_all
from tests.conftest import KafkaFactory, ProxyFactory

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
BIN = "application/vnd.kafka.binary.v2+json"
GOING_DOWN = {"error_code": 50304, "message": "The service is going down."}


@pytest.fixture
def topic(broker: Broker, name: str) -> Iterator[str]:
    """An empty one."""
    asyncio.run(create_topic(broker.bootstrap, name))
    yield name
    if broker.kind == "external":
        asyncio.run(delete_topics(broker.bootstrap, [name]))


def end(proxy: ProxyProcess, number: int = signal.SIGTERM) -> None:
    """Send the signal."""
    os.kill(proxy.child.pid, number)


def await_exit(proxy: ProxyProcess, limit_s: float) -> None:
    """It ends with 0 in time, and without a stack in its log."""
    code = proxy.child.wait(limit_s)
    log = proxy.log.read_text("utf-8")
    assert code == 0, (code, log)
    assert "Traceback" not in log, log
    assert '"level": "error"' not in log, log


def post(url: str, path: str, body: bytes, content_type: str = V2) -> bytes:
    """The body of a success."""
    with connected(url) as connection:
        send_post(connection, path, body, content_type)
        answer = connection.read()
        assert answer.status in (200, 204), answer
        return answer.body


def send_post(connection: RawConnection, path: str, body: bytes, content_type: str) -> None:
    """Send a POST."""
    fields = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    connection.send(render_head(f"POST {path} HTTP/1.1", *fields) + body)


def subscribe(url: str, group: str, topic: str) -> str:
    """The path of an instance that has joined its group."""
    path = f"/consumers/{group}/instances/koh"
    post(url, f"/consumers/{group}", b'{"name":"koh"}')
    post(url, f"{path}/subscription", orjson.dumps({"topics": [topic]}))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_an_idle_service_at_once(start_proxy: ProxyFactory, number: int) -> None:
    """Connections that are kept alive, or in the middle of a head, hold nothing up."""
    proxy = start_proxy()
    with connected(proxy.url) as idle, connected(proxy.url) as silent:
        assert idle.get("/live").status == 200
        silent.send(b"GET /li")
        end(proxy, number)
        await_exit(proxy, 2)
        assert idle.is_closed()


def test_long_polls_answer_early_and_instances_leave(
    start_proxy: ProxyFactory, broker: Broker, topic: str, name: str
) -> None:
    """A fetch and a direct read of a minute: `[]` within seconds; the group is empty natively."""
    proxy = start_proxy()
    group = f"g-{name}"
    instance = subscribe(proxy.url, group, topic)
    assert asyncio.run(count_members(broker.bootstrap, group)) == 1
    with connected(proxy.url) as fetch, connected(proxy.url) as read:
        fetch.send(render_head(f"GET {instance}/records?timeout=60000 HTTP/1.1"))
        path = f"/topics/{topic}/partitions/0/records?offset=latest&timeout=60000"
        read.send(render_head(f"GET {path} HTTP/1.1"))
        while b"\nkoh_direct_reads 1.0\n" not in ask(proxy.url, "/metrics").body:
            pass
        end(proxy)
        for connection in (fetch, read):
            answer = connection.read()
            assert answer.refusal == (200, BIN, [])
            assert connection.is_closed()
        await_exit(proxy, 4)
    assert asyncio.run(count_members(broker.bootstrap, group)) == 0


def test_request_in_flight_is_answered(
    start_proxy: ProxyFactory, broker: Broker, topic: str
) -> None:
    """A produce whose body comes after the signal is written and answered."""
    proxy = start_proxy(drain_delay_ms=500)
    body = b'{"records":[{"value":1}]}'
    with connected(proxy.url) as connection:
        fields = (f"Content-Type: {JSON}", f"Content-Length: {len(body)}")
        connection.send(render_head(f"POST /topics/{topic} HTTP/1.1", *fields) + body[:5])
        end(proxy)
        await_withdrawn(proxy)
        connection.send(body[5:])
        assert connection.read().status == 200
    await_exit(proxy, 4)
    assert [record.value for record in asyncio.run(read_all(broker.bootstrap, topic))] == [b"1"]


def await_withdrawn(proxy: ProxyProcess) -> None:
    """Until `/ready` says that we go; the end of the test is the deadline."""
    while ask(proxy.url, "/ready").status != 503:
        pass


def test_drain_delay_serves_on_while_not_ready(
    start_proxy: ProxyFactory, broker: Broker, topic: str, name: str
) -> None:
    """For the delay all is as it was, long polls too, but for /ready."""
    proxy = start_proxy(drain_delay_ms=1500)
    end(proxy)
    begun = time.monotonic()
    await_withdrawn(proxy)
    refused = ask(proxy.url, "/ready")
    assert refused.refusal == (503, V2, GOING_DOWN)
    assert refused.headers["retry-after"] == "1"
    assert ask(proxy.url, "/live").status == 200
    post(proxy.url, f"/topics/{topic}", b'{"records":[{"value":1}]}', JSON)
    instance = subscribe(proxy.url, f"g-{name}", topic)
    assert ask(proxy.url, f"{instance}/records?timeout=5000").body.count(b'"offset":0') == 1
    waited = time.monotonic()
    assert ask(proxy.url, f"{instance}/records?timeout=300").body == b"[]"
    assert time.monotonic() - waited > 0.25
    assert time.monotonic() - begun < 1.4
    await_exit(proxy, 4)
    assert time.monotonic() - begun > 1.4
    assert asyncio.run(count_members(broker.bootstrap, f"g-{name}")) == 0


def test_second_sigterm_cuts_the_delay_short(start_proxy: ProxyFactory) -> None:
    """Whoever asks twice does not want to wait for load balancers; the end is orderly."""
    proxy = start_proxy(drain_delay_ms=60_000)
    end(proxy)
    await_withdrawn(proxy)
    end(proxy)
    await_exit(proxy, 3)


def test_second_sigint_ends_at_once(start_proxy: ProxyFactory, topic: str) -> None:
    """Ctrl-C twice: gone, whatever is going on."""
    proxy = start_proxy(drain_delay_ms=60_000)
    with connected(proxy.url) as connection:
        path = f"/topics/{topic}/partitions/0/records?timeout=60000"
        connection.send(render_head(f"GET {path} HTTP/1.1"))
        end(proxy, signal.SIGINT)
        await_withdrawn(proxy)
        end(proxy, signal.SIGINT)
        assert proxy.child.wait(1) == 130
    assert "Traceback" not in proxy.log.read_text("utf-8")


def test_signal_during_the_start_ends_it(broker: Broker) -> None:
    """As soon as it listens, ready or not."""
    proxy = ProxyProcess(broker.bootstrap, {})
    try:
        while "listening on" not in proxy.log.read_text("utf-8"):
            assert proxy.child.poll() is None
        end(proxy)
        await_exit(proxy, 4)
    finally:
        proxy.child.kill()


def test_signal_while_there_is_no_broker(topic: str) -> None:
    """A service that never reached one ends as any other."""
    proxy = ProxyProcess("127.0.0.1:1", {"shutdown_timeout_ms": 2000})
    try:
        while "no broker reached" not in proxy.log.read_text("utf-8"):
            assert proxy.child.poll() is None
        with connected(proxy.url) as look, connected(proxy.url) as produce:
            look.send(render_head("GET /topics HTTP/1.1"))
            send_post(produce, f"/topics/{topic}", b'{"records":[{"value":1}]}', JSON)
            while b"\nkoh_in_flight_bytes 0.0\n" in ask(proxy.url, "/metrics").body:
                pass
            end(proxy)
            answer = produce.read()
            # Surely not written, and that is what the client is told.
            assert answer.refusal == (503, V2, GOING_DOWN)
            assert answer.headers["retry-after"] == "1"
            code = proxy.child.wait(4)
        log = proxy.log.read_text("utf-8")
        assert (code, "Traceback" in log) == (0, False), log
    finally:
        proxy.child.kill()


def test_requests_that_cannot_end_are_told_so_in_time(
    start_kafka: KafkaFactory, start_proxy: ProxyFactory, name: str
) -> None:
    """With a broker that hangs: each is answered in our shape, and we end within the timeout."""
    kafka = start_kafka()
    asyncio.run(create_topic(kafka.bootstrap, name))
    proxy = start_proxy(kafka.bootstrap, shutdown_timeout_ms=3000)
    subscribe(proxy.url, f"g-{name}", name)
    kafka.freeze()
    with connected(proxy.url) as produce, connected(proxy.url) as read:
        send_post(produce, f"/topics/{name}", b'{"records":[{"value":1}]}', JSON)
        read.send(render_head(f"GET /topics/{name}/partitions/0/records?offset=0 HTTP/1.1"))
        while b"\nkoh_direct_reads 1.0\n" not in ask(proxy.url, "/metrics").body:
            pass
        begun = time.monotonic()
        end(proxy)
        answer = read.read()
        assert answer.refusal == (503, V2, GOING_DOWN)
        answer = produce.read()
        assert answer.refusal == (503, V2, GOING_DOWN)
        code = proxy.child.wait(6)
        took_s = time.monotonic() - begun
    log = proxy.log.read_text("utf-8")
    assert code == 0, log
    assert took_s < 4, (took_s, log)
    assert "Traceback" not in log, log


# Its standard error signals the process while a line is being written to it.
SIGNALLING = """
import io, os, signal, sys

class Raw(io.RawIOBase):
    def writable(self):
        return True

    def write(self, line):
        if b"/live" in bytes(line):
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(100_000):  # here the interpreter looks for signals
                pass
        return os.write(2, line)

sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()), line_buffering=True)
from proxy.cli import main
sys.exit(main(["serve", "--bootstrap-servers", sys.argv[1], "--port", sys.argv[2], "--access-log"]))
"""


def test_signal_in_the_midst_of_a_log_line_is_not_lost(broker: Broker) -> None:
    """A signal that interrupts the writing of the log ends the service as any other."""
    port = pick_port()
    command = [sys.executable, "-c", SIGNALLING, broker.bootstrap, str(port)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("KOH_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env) as process:
        assert process.stderr is not None
        while b"listening" not in process.stderr.readline():
            assert process.poll() is None
        with connected(f"http://127.0.0.1:{port}") as connection:
            assert connection.get("/live").status == 200
        assert process.wait(15) == 0, process.stderr.read()
