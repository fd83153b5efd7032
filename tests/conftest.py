"""
What every test may ask for: a broker, a fresh topic, the proxy as a process.

The broker is chosen and started before the header is printed, so that the header names it; runs
that need none (`BROKERLESS`) start none, unless a test asks after all.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.brokers.apache import ApacheKafka, start_cluster
from tests.brokers.broker import Broker, RungUnavailable
from tests.brokers.ladder import climb
from tests.brokers.proxy_process import ProxyProcess
from tests.brokers.verify import create_topic, delete_topics

BROKER = pytest.StashKey[Broker]()
TESTS = Path(__file__).parent
TEST_TIMEOUT_S = 20  # as in pyproject.toml, `timeout`
BROKERLESS = (
    "observe",
    "process/test_cli.py",
    "process/test_dev.py",
    "test_config.py",
    "test_config_errors.py",
    "test_design.py",
    "test_docs.py",
    "test_floors.py",
    "test_openapi_document.py",
    "wire",
)

TopicFactory = Callable[..., Awaitable[str]]
ProxyFactory = Callable[..., ProxyProcess]
KafkaFactory = Callable[..., ApacheKafka]
ClusterFactory = Callable[..., list[ApacheKafka]]


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our one marker; let SIGTERM clean up as Ctrl-C does."""
    for asked in (signal.SIGTERM, signal.SIGINT):  # a background job starts with SIGINT ignored
        signal.signal(asked, signal.default_int_handler)
    config.addinivalue_line("markers", "needs(name): skip where the broker cannot do this")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the broker, before the header is printed."""
    if not session.config.option.collectonly and not _is_brokerless(session.config):
        _get_broker(session.config)


def pytest_report_header(config: pytest.Config) -> str:
    """Name the broker."""
    if BROKER not in config.stash:
        return "broker: none is needed here"
    broker = config.stash[BROKER]
    return f"broker: {broker.name} at {broker.bootstrap}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the broker, also after Ctrl-C."""
    if BROKER in config.stash:
        config.stash[BROKER].stop()
        del config.stash[BROKER]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the broker cannot do, by name and with the reason."""
    for marker in item.iter_markers("needs"):
        broker = _get_broker(item.config)
        if marker.args[0] in broker.cannot:
            reason = broker.cannot[marker.args[0]]
            pytest.skip(f"{broker.kind} broker cannot {marker.args[0]}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """
    Cancel a coroutine test shortly before its time is up.

    pytest-timeout's signal ends a test that is no coroutine; uvloop swallows it.
    """
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):
        marker = pyfuncitem.get_closest_marker("timeout")
        limit_s = marker.args[0] if marker else TEST_TIMEOUT_S

        @functools.wraps(test)
        async def limited(*args: object, **kwargs: object) -> None:
            async with asyncio.timeout(limit_s * 0.9):
                await test(*args, **kwargs)

        pyfuncitem.obj = limited
    return (yield)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Tests run on the loop that the proxy runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Broker:
    """The broker of the session."""
    return _get_broker(pytestconfig)


@pytest.fixture
def name() -> str:
    """A name that no other test has: for a group, or a topic that must not exist."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def topic(broker: Broker) -> AsyncIterator[TopicFactory]:
    """
    A maker of fresh topics: `await topic(partitions=3, configs={"max.message.bytes": "1000"})`
    gives the name.
    """
    made: list[str] = []

    async def make(partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        await create_topic(broker.bootstrap, name, partitions, configs)
        made.append(name)
        return name

    yield make
    # Our own brokers go away with their data.
    if broker.kind == "external" and made:
        await delete_topics(broker.bootstrap, made)


@pytest.fixture(scope="session")
def proxy_url(broker: Broker) -> Iterator[str]:
    """The address of a proxy in a process of its own, with settings as they come."""
    proxy = ProxyProcess(broker.bootstrap, broker.proxy_settings)
    try:
        proxy.await_ready()
        yield proxy.url
    finally:
        proxy.stop()


@pytest.fixture
def start_proxy(broker: Broker) -> Iterator[ProxyFactory]:
    """
    A maker of proxies with their own settings: `start_proxy(max_body_bytes=1000).url`. Each must
    exit with 0 at SIGTERM, unless the test itself ended it.
    """
    started: list[ProxyProcess] = []

    def start(bootstrap: str | None = None, **settings: object) -> ProxyProcess:
        proxy = ProxyProcess(bootstrap or broker.bootstrap, {**broker.proxy_settings, **settings})
        started.append(proxy)
        proxy.await_ready()
        return proxy

    try:
        yield start
    finally:
        for proxy in [one for one in started if one.child.poll() is None]:
            proxy.stop()


@pytest.fixture(scope="module")
def kafka(request: pytest.FixtureRequest) -> Iterator[ApacheKafka]:
    """
    An Apache Kafka of a file's own, to freeze and kill; each test leaves it running. Its server
    properties are the file's `KAFKA_PROPERTIES`. Skips where there is no Java or no Maven.
    """
    properties = getattr(request.module, "KAFKA_PROPERTIES", None)
    node = _or_skip(lambda: ApacheKafka(properties))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def start_kafka() -> Iterator[KafkaFactory]:
    """
    A maker of Apache Kafkas to kill, freeze or secure: `start_kafka({"log.retention.ms": "1"})`,
    `start_kafka(listeners={"SASL": "SASL_PLAINTEXT"})`. Skips where there is no Java or no Maven.
    """
    started: list[ApacheKafka] = []

    def start(
        properties: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
    ) -> ApacheKafka:
        node = _or_skip(lambda: ApacheKafka(properties, listeners=listeners))
        started.append(node)
        node.start()
        return node

    try:
        yield start
    finally:
        for node in started:
            node.stop()


@pytest.fixture
def start_kafka_cluster() -> Iterator[ClusterFactory]:
    """A maker of clusters: `start_kafka_cluster(3)`, a list of nodes."""
    started: list[ApacheKafka] = []

    def start(size: int, properties: Mapping[str, str] | None = None) -> list[ApacheKafka]:
        _or_skip(ApacheKafka)
        started.extend(start_cluster(size, properties))
        return started

    try:
        yield start
    finally:
        for node in started:
            node.stop()


def _is_brokerless(config: pytest.Config) -> bool:
    asked = [Path(config.invocation_params.dir, arg.split("::")[0]) for arg in config.args]
    free = [TESTS / name for name in BROKERLESS]
    return all(any(path.is_relative_to(root) for root in free) for path in asked)


def _get_broker(config: pytest.Config) -> Broker:
    if BROKER not in config.stash:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        say = reporter.write_line if reporter is not None else print
        try:
            config.stash[BROKER] = climb(os.environ.get("TEST_BROKER"), say)
        except RungUnavailable as error:
            pytest.exit(f"test broker: {error}", returncode=3)
    return config.stash[BROKER]


def _or_skip(make: Callable[[], ApacheKafka]) -> ApacheKafka:
    try:
        return make()
    except RungUnavailable as error:
        pytest.skip(f"needs Apache Kafka from its jars: {error}")
