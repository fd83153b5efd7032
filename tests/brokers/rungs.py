"""
The rungs of the ladder: each makes one kind of broker, or says why it cannot.

`patience_s` is how long a rung may take to fetch what it needs: less than a minute when another
rung is below it, long when it was asked for by name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from proxy.dev.embedded import PROXY_SETTINGS, EmbeddedBroker
from proxy.dev.failure import DevFailure
from proxy.dev.ports import pick_port
from tests.brokers.apache import STEADY, ApacheKafka
from tests.brokers.broker import Broker, RungUnavailable
from tests.brokers.containers import start_container
from tests.brokers.jars import kafka_version

EMBEDDED_CANNOT = {
    "acks_0": "it answers requests with acks=0, which nobody waits for",
    "open_transactions": (
        "a reader that waits behind an open transaction is not given its records once it commits"
    ),
    "sequence_wrap": "the numbers of a producer's records do not begin again after 2^31 there",
    "timestamp_limits": "it takes any timestamp",
    "commit_while_rebalancing": (
        "it answers ILLEGAL_GENERATION while a group rebalances, where Kafka takes the commit"
    ),
    "metadata_limit": "it stores commit metadata of any size",
    "many_assignors": (
        "its groups stall, or hand out nothing, once a member offers more than one assignor"
    ),
}


def use_external(patience_s: float) -> Broker:
    """The broker that `KAFKA_BOOTSTRAP_SERVERS` names."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
    if bootstrap == "":
        raise RungUnavailable("KAFKA_BOOTSTRAP_SERVERS is not set")
    return Broker("external", "the one of KAFKA_BOOTSTRAP_SERVERS", bootstrap)


def use_testcontainers(patience_s: float) -> Broker:
    """A container; its image is pulled when the engine has it not."""
    return start_container(pull_timeout_s=patience_s)


def use_apache(patience_s: float) -> Broker:
    """Apache Kafka from its jars."""
    node = ApacheKafka(STEADY, fetch_timeout_s=patience_s)
    try:
        node.start()
    except BaseException:
        node.stop()
        raise
    name = f"Apache Kafka {kafka_version()} from its jars (pid {node.child.pid})"
    return Broker("apache", name, node.bootstrap, stop=node.stop)


def use_embedded(patience_s: float) -> Broker:
    """The broker of `kafka-over-http dev`, with data in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="koh-embedded-"))
    embedded = EmbeddedBroker(home / "broker", pick_port())

    def stop() -> None:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)

    try:
        embedded.start()
    except DevFailure as error:
        stop()
        raise RungUnavailable(str(error)) from error
    name = f"embedded, {embedded.version} (pid {embedded.child.pid})"
    return Broker("embedded", name, embedded.bootstrap, EMBEDDED_CANNOT, PROXY_SETTINGS, stop=stop)
