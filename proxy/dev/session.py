"""
One run of `kafka-over-http dev`: broker up, proxy up, tour, serve, both down.

Rule 1: whatever ends it, the proxy is stopped before the broker, so that its consumers can leave
their groups; and both before we return.
Rule 2: SIGTERM is Ctrl-C. Both are blocked while we wait and while we clean up.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.config.table import SETTING_OF, SETTINGS
from proxy.dev.child import Child
from proxy.dev.data_dir import held, recall_port
from proxy.dev.embedded import PROXY_SETTINGS, EmbeddedBroker, find_binary
from proxy.dev.failure import DevFailure
from proxy.dev.ports import is_free, pick_port
from proxy.dev.tour import PLAYGROUND, TOPIC, take_tour
from proxy.errors import BrokersUnreachable, KafkaFailure
from proxy.kafka.admin import create_topic

PARTITIONS = 3
READY_TIMEOUT_S = 20.0
# What a proxy may need beyond what its settings let it take to stop, on a busy machine.
MORE_GRACE_S = 5.0
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound here)
ASKED_TO_STOP = {signal.SIGINT, signal.SIGTERM}


def run_dev(host: str, port: int, data_dir: Path, settings_overrides: Mapping[str, object]) -> int:
    """
    Run until Ctrl-C or SIGTERM; the exit code.

    0 stopped as asked, 1 a part of it failed later, 2 it could not start; 1 and 2 with one line on
    stderr. `settings_overrides` are further settings of the proxy, by name.
    """
    for asked in ASKED_TO_STOP:  # SIGINT too: a shell's background job starts with it ignored
        signal.signal(asked, signal.default_int_handler)
    try:
        port = port or pick_port()
        find_binary()
        if not is_free(host, port):
            raise DevFailure(f"port {port} of {host} is already in use, choose another with --port")
        with held(data_dir), _running_broker(data_dir) as broker:
            with _running_proxy(host, port, broker, settings_overrides) as proxy:
                _introduce(host, port, broker, data_dir)
                _serve(proxy, broker.child)
            _say(f"Stopped. The data stay in {data_dir}.")
    except KeyboardInterrupt:
        _say("Stopped.")
    except DevFailure as failure:
        sys.stderr.write(f"kafka-over-http: {failure}\n")
        return failure.exit_code
    return 0


@contextlib.contextmanager
def _running_broker(data_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(data_dir / "broker", recall_port(data_dir))
    try:
        broker.start()
        yield broker
    finally:
        _block_signals()
        broker.stop()


@contextlib.contextmanager
def _running_proxy(
    host: str, port: int, broker: EmbeddedBroker, overrides: Mapping[str, object]
) -> Iterator[Child]:
    settings = {**PROXY_SETTINGS, **overrides}
    settings |= {"host": host, "port": port, "bootstrap_servers": broker.bootstrap}
    # What the environment and a file said is in the overrides; said twice, it could be refused.
    env = {name: value for name, value in os.environ.items() if not name.startswith("KOH_")}
    env |= {
        row.environment: row.show(settings[row.name]) for row in SETTINGS if row.name in settings
    }
    # Its log lines go where ours would: to stderr.
    proxy = Child([sys.executable, "-m", "proxy", "serve"], log=None, env=env)
    try:
        _await_ready(host, port, proxy)
        yield proxy
    finally:
        _block_signals()
        code = proxy.stop(grace_s(settings))
    if code != 0:
        raise DevFailure(f"the proxy ended with exit code {code} when it was stopped", exit_code=1)


def grace_s(settings: Mapping[str, object]) -> float:
    """How long the proxy may take to stop; `settings` are those that differ from their defaults."""
    stopping = ("drain_delay_ms", "shutdown_timeout_ms")
    given_ms = [settings.get(name, SETTING_OF[name].default) for name in stopping]
    return sum(ms for ms in given_ms if isinstance(ms, int)) / 1000 + MORE_GRACE_S


def _introduce(host: str, port: int, broker: EmbeddedBroker, data_dir: Path) -> None:
    url = _url(host, port)
    try:
        is_new = asyncio.run(create_topic(broker.bootstrap, TOPIC, PARTITIONS))
        asyncio.run(create_topic(broker.bootstrap, PLAYGROUND, 1))
    except (BrokersUnreachable, KafkaFailure) as error:
        raise DevFailure(f"the topics were not created: {error}") from error
    _say(f"Embedded broker ({broker.version}) at {broker.bootstrap}, data in {data_dir}")
    _say(f"Topic '{TOPIC}': {'created' if is_new else 'there already, with its records'}\n")
    take_tour(WILDCARDS.get(host, host), port, url, _say)
    _say(f"The topic '{PLAYGROUND}' is yours: the README's tour begins with it.")
    _say(f"Serving on {url} until Ctrl-C. What else it can do: {url}/docs")


def _serve(proxy: Child, broker: Child) -> None:
    signal.signal(signal.SIGCHLD, lambda *_: None)  # macOS drops it otherwise, blocked or not
    _block_signals(signal.SIGCHLD)
    while True:
        for name, child in (("proxy", proxy), ("embedded broker", broker)):
            code = child.poll()
            if code is not None:
                raise DevFailure(f"the {name} ended by itself (exit code {code})", exit_code=1)
        if signal.sigwait({*ASKED_TO_STOP, signal.SIGCHLD}) in ASKED_TO_STOP:
            return


def _await_ready(host: str, port: int, proxy: Child) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not _is_ready(WILDCARDS.get(host, host), port):
        code = proxy.wait(0.05)
        if code is not None:
            raise DevFailure(f"the proxy ended at its start (exit code {code})")
        if time.monotonic() > deadline:
            raise DevFailure(f"the proxy was not ready within {READY_TIMEOUT_S:g} s")


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _url(host: str, port: int) -> str:
    shown = WILDCARDS.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _block_signals(*more: signal.Signals) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {*ASKED_TO_STOP, *more})


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
