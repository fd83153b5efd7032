"""Liveness and readiness while brokers come, go and hang."""

from __future__ import annotations

import time

import pytest

from proxy.api.health import READY_TIMEOUT_S
from proxy.dev.ports import pick_port
from tests.api.raw_connection import Answer, ask
from tests.brokers.apache import ApacheKafka
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import ClusterFactory, ProxyFactory

V2 = "application/vnd.kafka.v2+json"
PLAIN = "application/json"
LIVE = (200, PLAIN, {"status": "live"})
READY = (200, PLAIN, {"status": "ready"})
UNREACHABLE = (503, V2, {"error_code": 50302, "message": "The brokers cannot be reached."})


def ask_within(url: str, path: str, limit_s: float, *fields: str, method: str = "GET") -> Answer:
    """The answer, which must come in time."""
    begun = time.monotonic()
    answer = ask(url, path, *fields, method=method)
    assert time.monotonic() - begun < limit_s, path
    return answer


def await_ready(url: str) -> None:
    """Until it is ready; the end of the test is the deadline."""
    while ask(url, "/ready").status != 200:
        time.sleep(0.05)


def assert_no_traceback(proxy: ProxyProcess) -> None:
    """The log has lines for people, few of them, and no stack."""
    log = proxy.log.read_text("utf-8")
    assert "Traceback" not in log, log
    assert log.count('"level": "error"') < 20, log


@pytest.mark.parametrize("path", ["/ready", "/ready/", "/status/ready"])
def test_ready_with_brokers(proxy_url: str, path: str) -> None:
    """200, whatever is accepted; HEAD too."""
    assert ask(proxy_url, path).refusal == READY
    assert ask(proxy_url, path, "Accept: text/html").refusal == READY
    assert ask(proxy_url, path, method="HEAD").status == 200


def test_live_asks_nobody(proxy_url: str) -> None:
    """200 at once."""
    assert ask_within(proxy_url, "/live", 1).refusal == LIVE


def test_broker_that_hangs_makes_us_not_ready(
    kafka: ApacheKafka, start_proxy: ProxyFactory
) -> None:
    """503 within the deadline, alive all the time, ready again by itself; no stack logged."""
    proxy = start_proxy(kafka.bootstrap)
    kafka.freeze()
    try:
        refused = ask_within(proxy.url, "/ready", READY_TIMEOUT_S + 1)
        assert refused.refusal == UNREACHABLE
        assert refused.headers["retry-after"] == "1"
        assert ask_within(proxy.url, "/live", 0.5).refusal == LIVE
        assert ask_within(proxy.url, "/metrics", 0.5).status == 200
    finally:
        kafka.thaw()
    await_ready(proxy.url)
    assert_no_traceback(proxy)


@pytest.mark.timeout(45)
def test_broker_that_dies_makes_us_not_ready(kafka: ApacheKafka, start_proxy: ProxyFactory) -> None:
    """503 for all that asks a broker, soon; a proxy starts all the same; ready when it is back."""
    proxy = start_proxy(kafka.bootstrap)
    kafka.kill()
    refused = ask_within(proxy.url, "/ready", READY_TIMEOUT_S + 1, "Accept: application/json")
    assert refused.refusal == (503, PLAIN, UNREACHABLE[2])
    for path in ("/topics", "/brokers", "/topics/koh-not-there", "/topics/a/partitions/0/offsets"):
        assert ask_within(proxy.url, path, 12).refusal == UNREACHABLE
    late = ProxyProcess(kafka.bootstrap, {})
    try:
        await_listening(late)
        assert ask_within(late.url, "/ready", READY_TIMEOUT_S + 1).refusal == UNREACHABLE
        for one in (proxy, late):
            assert ask_within(one.url, "/live", 0.5).refusal == LIVE
        kafka.restart()
        for one in (proxy, late):
            await_ready(one.url)
            assert ask(one.url, "/brokers").parsed == {"brokers": [1]}
            assert_no_traceback(one)
    finally:
        late.stop()


def await_listening(proxy: ProxyProcess) -> None:
    """Until it takes connections."""
    while True:
        try:
            ask(proxy.url, "/live")
        except ConnectionError:
            time.sleep(0.02)
        else:
            return


def test_bootstrap_list_may_name_brokers_that_are_not_there(
    start_proxy: ProxyFactory, broker: Broker
) -> None:
    """One of three is enough to start with."""
    dead = f"127.0.0.1:{pick_port()},127.0.0.1:{pick_port()}"
    assert ask(start_proxy(f"{dead},{broker.bootstrap}").url, "/ready").refusal == READY


@pytest.mark.timeout(60)
def test_one_of_three_brokers_that_hangs_is_not_noticed(
    start_kafka_cluster: ClusterFactory, start_proxy: ProxyFactory
) -> None:
    """Ready, and metadata answered, each time and soon: another broker is asked."""
    nodes = start_kafka_cluster(3)
    proxy = start_proxy(",".join(node.bootstrap for node in nodes))
    for _ in range(6):
        assert ask(proxy.url, "/brokers").parsed == {"brokers": [1, 2, 3]}
    for node in nodes:
        node.freeze()
        for _ in range(4):
            assert ask_within(proxy.url, "/ready", READY_TIMEOUT_S).refusal == READY
            assert ask_within(proxy.url, "/topics", 2.5).status == 200
        node.thaw()
        await_ready(proxy.url)
    assert_no_traceback(proxy)
