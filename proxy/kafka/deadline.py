"""
Rule 1: an aiokafka call is never cancelled; a cancelled one leaks state and freezes its client.

The work runs in a task of its own. Whoever waits for it may give up, at a deadline or because the
HTTP client went away; the work goes on to its end and its result is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

_running: set[asyncio.Task[Any]] = set()


async def within(
    timeout_s: float | None, work: Coroutine[Any, Any, T], late: Callable[[], Exception]
) -> T:
    """
    The result of `work`, or `late()` raised when it is not there after `timeout_s`.

    The work is finished in any case. Its own exception is raised here; when nobody waits any more
    it is logged.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    except asyncio.CancelledError:
        let_run(task)
        raise
    if task.done():
        return task.result()
    let_run(task)
    raise late()


def let_run(task: asyncio.Task[Any]) -> None:
    """Wait for a task no more, and let it come to its end; that it failed is logged."""
    _running.add(task)
    task.add_done_callback(_running.discard)
    task.add_done_callback(_log_failure)


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.info("work that nobody waits for any more failed: %r", task.exception())
