"""The real proxy in a process of its own, as `python -m proxy serve` starts it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from proxy.dev.child import Child
from proxy.dev.ports import pick_port

HOST = "127.0.0.1"


class ProxyProcess:
    """A running proxy: `url`, its `child` process and `log`."""

    def __init__(self, bootstrap: str, settings: Mapping[str, object]) -> None:
        self.port = int(str(settings.get("port", pick_port())))
        self.url = f"http://{HOST}:{self.port}"
        chosen = {"host": HOST, "port": self.port, "bootstrap_servers": bootstrap, **settings}
        # Ours only: a KOH_ variable of whoever runs the tests is not for this proxy, and one that
        # it does not know would stop it.
        env = {name: value for name, value in os.environ.items() if not name.startswith("KOH_")}
        env |= {f"KOH_{name.upper()}": _render(value) for name, value in chosen.items()}
        handle, name = tempfile.mkstemp(prefix="koh-proxy-", suffix=".log")
        os.close(handle)
        self.log = Path(name)
        self.child = Child([sys.executable, "-m", "proxy", "serve"], log=self.log, env=env)

    def await_ready(self, timeout_s: float = 15) -> None:
        """
        Wait until `/ready` answers 200.

        Raises: RuntimeError with the end of its log
        """
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self.child.wait(0.05) is not None:
                raise RuntimeError(f"the proxy ended at its start:\n{self.child.last_lines(30)}")
            if time.monotonic() > deadline:
                self.child.kill()
                raise RuntimeError(f"the proxy was not ready:\n{self.child.last_lines(30)}")

    def stop(self, grace_s: float = 10) -> None:
        """
        End it with SIGTERM.

        Raises: RuntimeError when it does not exit with 0 within the grace
        """
        code = self.child.stop(grace_s)
        tail = self.child.last_lines(30)
        self.log.unlink(missing_ok=True)
        if code != 0:
            raise RuntimeError(f"the proxy exited with {code} after SIGTERM:\n{tail}")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


def _render(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
