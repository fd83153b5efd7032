"""
The embedded broker: noida-db's Kafka, a wheel with a binary, on loopback.

Facts, tried with 0.2.3: its data is one JSON file, written on SIGTERM and SIGINT and every few
seconds between, so SIGKILL costs the last seconds; a left-over control file does no harm; its
`noida-db` command is a wrapper that leaves the binary behind when killed, so the binary is run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import subprocess
import time
from pathlib import Path

from proxy.dev.child import Child
from proxy.dev.failure import DevFailure
from proxy.dev.ports import is_free

HOST = "127.0.0.1"
# What the proxy must keep to on it. Its groups stall for 10 s and hand out empty assignments once a
# member offers more than one assignor, native clients' groups too.
PROXY_SETTINGS = {"partition_assignment_strategy": "range"}
# The platforms that the wheel is built for. Source: the files of noida-db 0.2.3 on PyPI.
BUILDS = {("Linux", "x86_64"), ("Darwin", "arm64")}


def find_binary() -> Path:
    """
    The broker's binary, ready to run.

    Raises: DevFailure when the platform has none, it is not installed, or it does not run
    """
    system = (platform.system(), platform.machine())
    if system not in BUILDS:
        raise DevFailure(
            f"there is no embedded broker for {' '.join(system)}; run a Kafka broker and "
            "`kafka-over-http serve --bootstrap-servers HOST:PORT` instead"
        )
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise DevFailure("the embedded broker is not installed: pip install 'kafka-over-http[dev]'")
    binary = Path(spec.origin).with_name("noida-db")
    if not binary.is_file():
        raise DevFailure(f"the embedded broker's binary is missing: {binary}")
    if not os.access(binary, os.X_OK):  # not every installer keeps the mode
        try:
            binary.chmod(0o755)
        except OSError as error:
            raise DevFailure(f"{binary} is not executable, and cannot be made so") from error
    return binary


def read_version(binary: Path) -> str:
    """
    What `noida-db version` prints, which also shows that the binary runs here.

    Raises: DevFailure
    """
    try:
        done = subprocess.run(  # noqa: S603 (the binary of a pinned wheel)
            [binary, "version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it hangs"
        raise DevFailure(f"the embedded broker does not run here: {binary}: {reason}") from error
    if done.returncode != 0 or not done.stdout.strip():
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DevFailure(f"the embedded broker does not run here: {binary}: {reason}")
    return done.stdout.strip().splitlines()[-1]


class EmbeddedBroker:
    """One broker with its data in `data_dir`. Start it, stop it, start it again."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.bootstrap = f"{HOST}:{port}"
        self.version = "noida-db"
        self._data_dir = data_dir
        self._port = port
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running process."""
        if self._child is None:
            raise RuntimeError("the embedded broker has not been started")
        return self._child

    def start(self, timeout_s: float = 15) -> None:
        """
        Return when it answers.

        Raises: DevFailure
        """
        binary = find_binary()
        self.version = read_version(binary)
        if not is_free(HOST, self._port):
            raise DevFailure(f"port {self._port} of the embedded broker is already in use")
        self._data_dir.mkdir(parents=True, exist_ok=True)
        log = self._data_dir.with_name(f"{self._data_dir.name}.log")
        log.write_bytes(b"")
        arguments = ("--only", "kafka", "--host", HOST, "--kafka-port", str(self._port))
        command = [str(binary), "start", *arguments, "--data-dir", str(self._data_dir)]
        self._child = child = Child(command, log=log)
        deadline = time.monotonic() + timeout_s
        while not _accepts(self._port):
            code = child.wait(0.05)
            if code is not None:
                raise DevFailure(
                    f"the embedded broker ended at its start (exit code {code}): "
                    f"{child.last_lines()} (all of it: {log})"
                )
            if time.monotonic() > deadline:
                child.kill()
                raise DevFailure(f"the embedded broker did not answer in {timeout_s:g} s: {log}")

    def stop(self) -> None:
        """End it, its data saved."""
        if self._child is not None:
            self._child.stop()


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
