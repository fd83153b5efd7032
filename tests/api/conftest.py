"""Topics for tests that talk to the proxy over blocking sockets, and what they hold."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.api.produce_calls import run_proxy
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.brokers.verify import create_topic, delete_topics

MakeTopic = Callable[..., str]


@pytest.fixture(scope="module")
def make_topic(broker: Broker) -> Iterator[MakeTopic]:
    """A maker of topics that live as long as the tests of a file."""
    made: list[str] = []

    def make(partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        asyncio.run(create_topic(broker.bootstrap, name, partitions, configs))
        made.append(name)
        return name

    yield make
    if broker.kind == "external" and made:
        asyncio.run(delete_topics(broker.bootstrap, made))


@pytest.fixture(scope="module")
def proxy(broker: Broker, request: pytest.FixtureRequest) -> Iterator[ProxyProcess]:
    """A proxy of a file's own, with the file's `PROXY_SETTINGS`; its log must stay clean."""
    with run_proxy(broker, **getattr(request.module, "PROXY_SETTINGS", {})) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def shared_proxies(broker: Broker) -> Iterator[dict[str, str]]:
    """Addresses of proxies, by the networks that they trust."""
    networks = ("", "127.0.0.0/8", "10.0.0.0/8")
    proxies = {
        network: ProxyProcess(broker.bootstrap, {"trusted_proxies": network})
        for network in networks
    }
    try:
        for proxy in proxies.values():
            proxy.await_ready()
        yield {network: proxy.url for network, proxy in proxies.items()}
    finally:
        for proxy in proxies.values():
            proxy.stop()
