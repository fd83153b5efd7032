"""
A child process, with its output in a log file or on our own.

Rule 1: what is started here ends by its own id: SIGTERM, a grace, then SIGKILL.
Rule 2: a child sits in a session of its own, so that Ctrl-C in a terminal reaches the parent alone,
and the parent ends its children in order.
Rule 3: a child outlives no parent, however that one died (`tether.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")


class Child:
    """A started process. `log` gets what it writes to stdout and stderr; None leaves it ours."""

    def __init__(
        self, command: Sequence[str], log: Path | None, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        tethered = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
        with contextlib.nullcontext() if log is None else log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own commands)
                tethered,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, None while it runs; minus the signal's number where one ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, None when it still runs after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def stop(self, grace_s: float = 10) -> int:
        """End it with SIGTERM, after `grace_s` with SIGKILL; its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        code = self.wait(grace_s)
        return self.kill() if code is None else code

    def kill(self) -> int:
        """End it with SIGKILL; its exit code."""
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    def freeze(self) -> None:
        """Stop it from running, its connections stay open: a broker that hangs."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def last_lines(self, count: int = 1) -> str:
        """The end of its log, blank lines left out."""
        text = "" if self.log is None else self.log.read_text(errors="replace")
        return "\n".join([line for line in text.splitlines() if line.strip()][-count:])
