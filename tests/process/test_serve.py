"""`serve` as a process: where it listens, and what it says when it cannot."""

from __future__ import annotations

import re
import socket
import time

import pytest

from tests.api.raw_connection import ask
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.process.test_cli import refuse


def await_log(proxy: ProxyProcess, pattern: str) -> str:
    """The first group of a pattern, once it is in the log; the end of the test is the deadline."""
    while True:
        found = re.search(pattern, proxy.log.read_text("utf-8"))
        if found is not None:
            return found[1]
        assert proxy.child.poll() is None, proxy.child.last_lines(20)
        time.sleep(0.02)


def test_port_0_takes_a_free_one_and_logs_it(broker: Broker) -> None:
    """The log has the address that is listened on."""
    proxy = ProxyProcess(broker.bootstrap, {"port": 0})
    try:
        url = await_log(proxy, r"listening on (http://127\.0\.0\.1:\d+)")
        while ask(url, "/ready").status != 200:
            pass
        assert not url.endswith(":0")
    finally:
        proxy.stop()


def test_port_in_use_is_one_line_and_exit_code_2() -> None:
    """Nothing is started, nothing asked of Kafka."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refuse("serve", "--bootstrap-servers=127.0.0.1:1", f"--port={port}")
    assert line == f"kafka-over-http: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("host", ["203.0.113.7", "koh.invalid", "a" * 70, "a..b"])
def test_address_that_is_not_ours_is_one_line_and_exit_code_2(host: str) -> None:
    """No such interface, no such name, no name at all."""
    line = refuse("serve", "--bootstrap-servers=127.0.0.1:1", "--port=0", f"--host={host}")
    assert line.startswith(f"kafka-over-http: cannot listen on {host}:0: ")


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="needs an IPv6 loopback address")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_is_listened_on(broker: Broker, host: str) -> None:
    """`::` serves IPv4 too; addresses that we make up have brackets."""
    proxy = ProxyProcess(broker.bootstrap, {"port": 0, "host": host})
    try:
        url = await_log(proxy, r"listening on (http://\[::1?\]:\d+)").replace("[::]", "[::1]")
        links = ask(url, "/", "Host: ").parsed
        assert isinstance(links, dict)
        assert links["links"]["topics"] == f"{url}/topics"
        if host == "::":
            assert ask(url.replace("[::1]", "127.0.0.1"), "/live").status == 200
    finally:
        proxy.stop()
