"""The folder in which `dev` keeps the broker's data, its port and its log. One `dev` at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from proxy.dev.embedded import HOST
from proxy.dev.failure import DevFailure
from proxy.dev.ports import is_free, pick_port


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """
    Keep the folder, made if need be, to ourselves. A kernel lock, so that none is ever stale.

    Raises: DevFailure when it cannot be written, or another `dev` has it
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise DevFailure(f"the data folder {folder} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise DevFailure(
                f"another `kafka-over-http dev` uses {folder} (pid {lock.read().strip()}); "
                "stop it, or choose another folder with --data-dir"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def recall_port(folder: Path) -> int:
    """
    The broker's port: that of last time, for native clients to find it again, or a new one.

    Raises: DevFailure when another process has taken it
    """
    remembered = folder / "broker-port"
    port = None
    with contextlib.suppress(OSError, ValueError):
        port = int(remembered.read_text())
    if port is not None and not is_free(HOST, port):
        raise DevFailure(
            f"port {port} of the embedded broker is already in use; end what uses it, or remove "
            f"{remembered} for another"
        )
    if port is not None:
        return port
    port = pick_port(HOST)
    remembered.write_text(f"{port}\n")
    return port
