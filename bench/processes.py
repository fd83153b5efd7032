"""The processes of a benchmark run: broker, proxy, reference servers; and what they cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.dev.ports import pick_port

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Served:
    """A server under load: its address and process id."""

    url: str
    pid: int
    seconds_to_ready: float

    @property
    def cpu_s(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def rss_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES


@contextmanager
def serving(command: Sequence[str], port: int, ready: str) -> Iterator[Served]:
    """A server from start to stop."""
    url = f"http://127.0.0.1:{port}"
    begun = time.monotonic()
    with subprocess.Popen([sys.executable, *command], cwd=ROOT) as process:
        try:
            _await(process, url + ready)
            yield Served(url, process.pid, time.monotonic() - begun)
        finally:
            process.terminate()


@contextmanager
def proxy(bootstrap: str, *flags: str) -> Iterator[Served]:
    """The proxy with its defaults."""
    port = pick_port()
    command = ["-m", "proxy", "serve", "--bootstrap-servers", bootstrap, "--port", str(port)]
    with serving([*command, "--log-level", "warning", *flags], port, "/ready") as served:
        yield served


@contextmanager
def bare_server(answer_bytes: int) -> Iterator[Served]:
    """An ASGI app that reads the body and answers a constant, under the same server."""
    port = pick_port()
    command = [str(ROOT / "bench" / "bare.py"), str(port), str(answer_bytes)]
    with serving(command, port, "/") as served:
        yield served


def install_wrk() -> str:
    """
    The path of wrk, installed from Debian's packages where it is missing.

    Raises: SystemExit with one line where that cannot be done
    """
    if shutil.which("wrk") is None:
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "wrk"]):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("bench: wrk is missing and could not be installed (apt-get install wrk)")
    return found


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} did not become ready") from None
            time.sleep(0.005)
