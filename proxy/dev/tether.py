"""
Run a command that ends when its parent does: tether.py PARENT_PID COMMAND…

A script, not a module: `child.py` runs it with a bare interpreter, and it becomes the command by
exec, so that the process id stays. A parent that is killed outright (SIGKILL, an out-of-memory
kill) runs no clean-up of its own; without this its broker would be left behind. Tried instead:
`preexec_fn` of subprocess, which Python 3.12 warns of in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become(parent_pid: int, command: list[str]) -> None:
    """Become `command`; it gets SIGTERM when the parent dies (on Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        sys.exit("the parent process is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is what we want)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
