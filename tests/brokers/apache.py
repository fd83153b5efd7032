"""
Apache Kafka from its jars: KRaft, broker and controller in one JVM with a small heap.

The session's broker is one of these; a failure test starts its own, with the server properties and
listeners that it needs, and kills, freezes or restarts it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from proxy.dev.child import Child
from proxy.dev.ports import pick_port
from tests.brokers.broker import RungUnavailable
from tests.brokers.jars import fetch_jars, find_java

HOST = "127.0.0.1"
CLUSTER_ID = "a29oLXRlc3QtYnJva2Vy"
# A test broker lives for minutes: compile little, collect simply.
JVM_FLAGS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
DEFAULTS = {
    # On, as on most clusters: what must never create a topic shows here that it does not.
    "auto.create.topics.enable": "true",
    "num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # 128 MiB by default, a quarter of our heap.
    "log.cleaner.dedupe.buffer.size": "4194304",
    # 9 s by default: how long a killed broker goes unnoticed, and cannot come back.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
# For a broker that nobody kills, on a machine that may be busy.
STEADY = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}


class ApacheKafka:
    """
    One node. Its ports and data stay the same from `start` to `restart`; `stop` ends it for good.

    listeners: further listeners, name -> security protocol ({"SASL": "SASL_PLAINTEXT"}); their
        address is `address("SASL")`. There always is a PLAINTEXT one: `bootstrap`.
    properties: server properties over `DEFAULTS`
    voters: node id -> controller port, for a cluster of several; made by `start_cluster`
    """

    def __init__(
        self,
        properties: Mapping[str, str] | None = None,
        *,
        listeners: Mapping[str, str] | None = None,
        node_id: int = 1,
        voters: Mapping[int, int] | None = None,
        fetch_timeout_s: float = 45,
    ) -> None:
        self._java = find_java()
        self._jars = fetch_jars(fetch_timeout_s)
        self._protocols = {"PLAINTEXT": "PLAINTEXT", **(listeners or {})}
        self._ports = {name: pick_port() for name in self._protocols}
        self._node_id = node_id
        self._voters = voters or {node_id: pick_port()}
        self._properties = properties or {}
        self._home: Path | None = None
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """The address of the PLAINTEXT listener."""
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        """The address of a listener."""
        return f"{HOST}:{self._ports[listener]}"

    @property
    def home(self) -> Path:
        """The folder of its data, configuration and log (`server.log`)."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="koh-kafka-"))
        return self._home

    @property
    def child(self) -> Child:
        """Its process."""
        if self._child is None:
            raise RuntimeError("this broker has not been started")
        return self._child

    def start(self, timeout_s: float = 45) -> None:
        """
        Launch it and return when it takes connections.

        Raises: RungUnavailable with the end of its log
        """
        self.launch()
        self.await_listening(timeout_s)

    def launch(self) -> None:
        """Start the process alone; a quorum of several forms only once all have been launched."""
        settings = self.home / "server.properties"
        if not settings.exists():
            settings.write_text(self._render_properties())
            self._format(settings)
        # slf4j-simple writes to stderr; `Child` keeps that.
        command = [self._java, *JVM_FLAGS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command += ["-cp", f"{self._jars}/*", "kafka.Kafka", str(settings)]
        self._child = Child(command, log=self.home / "server.log")

    def await_listening(self, timeout_s: float = 45) -> None:
        """Kafka opens its listeners as its last step, so a connection shows that it is up."""
        deadline = time.monotonic() + timeout_s
        while not all(_accepts(port) for port in self._ports.values()):
            code = self.child.wait(0.1)
            if code is not None:
                tail = self.child.last_lines(5)
                raise RungUnavailable(f"Apache Kafka ended at its start (exit {code}): {tail}")
            if time.monotonic() > deadline:
                self.stop()
                raise RungUnavailable(f"Apache Kafka did not start in {timeout_s:g} s")

    def kill(self) -> None:
        """End it as a power cut would; `restart` brings it back with its data."""
        self.child.kill()

    def restart(self, timeout_s: float = 45) -> None:
        """Start it again on its ports and with its data, after `kill` or while it runs."""
        self.child.stop(grace_s=20)
        self.start(timeout_s)

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        self.child.freeze()

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self.child.thaw()

    def stop(self) -> None:
        """End it for good, its data thrown away. Kill, for nobody needs a controlled shutdown."""
        if self._child is not None:
            self._child.kill()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _render_properties(self) -> str:
        listening = {name: f"{name}://{self.address(name)}" for name in self._protocols}
        controller = f"CONTROLLER://{HOST}:{self._voters[self._node_id]}"
        protocols = {**self._protocols, "CONTROLLER": "PLAINTEXT"}
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(self._node_id),
            "controller.quorum.voters": ",".join(
                f"{node}@{HOST}:{port}" for node, port in self._voters.items()
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join([*listening.values(), controller]),
            "advertised.listeners": ",".join(listening.values()),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            "log.dirs": str(self.home / "data"),
            **DEFAULTS,
            **self._properties,
        }
        return "".join(f"{name}={value}\n" for name, value in properties.items())

    def _format(self, settings: Path) -> None:
        command = [self._java, *JVM_FLAGS, "-cp", f"{self._jars}/*", "kafka.tools.StorageTool"]
        done = subprocess.run(
            [*command, "format", "--cluster-id", CLUSTER_ID, "--config", str(settings)],
            capture_output=True,
            text=True,
            timeout=45,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1]
            raise RungUnavailable(f"Kafka's storage tool failed: {reason}")


def start_cluster(size: int, properties: Mapping[str, str] | None = None) -> list[ApacheKafka]:
    """Several nodes, each broker and controller, that form one cluster. The caller stops each."""
    voters = {node_id: pick_port() for node_id in range(1, size + 1)}
    replicated = {
        "default.replication.factor": str(size),
        "offsets.topic.replication.factor": str(size),
        "transaction.state.log.replication.factor": str(size),
        "min.insync.replicas": str(size // 2 + 1),
        **(properties or {}),
    }
    nodes = [ApacheKafka(replicated, node_id=node_id, voters=voters) for node_id in voters]
    try:
        for node in nodes:
            node.launch()
        for node in nodes:
            node.await_listening(timeout_s=90)
    except BaseException:
        for node in nodes:
            node.stop()
        raise
    return nodes


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
