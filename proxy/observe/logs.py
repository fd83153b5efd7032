"""
Logs: one line an event on standard error, for people (console) or machines (JSON lines).

Rule 1: everybody's lines take this way, those of aiokafka, uvicorn and asyncio too.
Rule 2: no secret and no record value is logged. aiokafka's debug lines hold both (its requests as
        they are sent, `aiokafka/conn.py`), so it is never let below INFO.
Rule 3: a broker that is down is worth a few lines a minute, not hundreds a second.
"""

from __future__ import annotations

import logging
import sys
import time

import structlog

# Less than this is not logged, whatever the level asked for. aiokafka tells of each group's every
# join at INFO; uvicorn's access lines are ours to write.
LEAST_LEVELS = {
    "aiokafka": logging.WARNING,
    # "Topic … not found in cluster metadata", as an error at each look: a subscription to a topic
    # that is not there yet is fine. What else it tells of topics, such as no permission, we answer.
    "aiokafka.cluster": logging.CRITICAL,
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
    "asyncio": logging.WARNING,
}
# At debug, these are let through from here.
LEAST_LEVELS_AT_DEBUG = {"aiokafka": logging.INFO, "uvicorn.error": logging.INFO}

# aiokafka logs each failed attempt of each client: with 20 groups and a producer, a broker that was
# away for 45 s made 35,500 lines, and makes 50 with this. Of lines alike, so many are let through
# in so long: some, as they tell of several brokers or groups.
ALIKE_LINES = 3
ALIKE_WINDOW_S = 30.0

# What every line has, ours or not, before it is written out.
SHARED_PROCESSORS: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(allow=["left_out"]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


class AlikeFilter(logging.Filter):
    """
    Lets few of aiokafka's lines through that differ in their arguments only.

    The first line of the next window says in `left_out` how many were not let through.
    """

    def __init__(self) -> None:
        super().__init__()
        # By text before formatting: there are as many as log calls in aiokafka's source, about 100.
        self._windows: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        now = time.monotonic()
        text = str(record.msg)
        start, lines = self._windows.get(text, (now, 0))
        if now - start >= ALIKE_WINDOW_S:
            if lines > ALIKE_LINES:
                record.left_out = lines - ALIKE_LINES
            start, lines = now, 0
        self._windows[text] = (start, lines + 1)
        return lines < ALIKE_LINES


def configure_logging(level: str, log_format: str) -> None:
    """
    Set up the logs of this process; again is fine. uvicorn must be given `log_config=None`.

    Shape: level debug, info, warning or error; log_format auto, console or json
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=SHARED_PROCESSORS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *list_renderers(console),
            ],
        )
    )
    handler.addFilter(AlikeFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    least_levels = LEAST_LEVELS | (LEAST_LEVELS_AT_DEBUG if level == "debug" else {})
    for name, least in least_levels.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def list_renderers(console: bool) -> list[structlog.typing.Processor]:
    """The last steps of a line. Anything but text is shown by its repr, so a `Secret` as ***."""
    if console:
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Quoted, so that a name from a request can neither break nor colour the line.
                repr_native_str=True,
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [
        structlog.processors.format_exc_info,
        put_first,
        structlog.processors.JSONRenderer(),
    ]


def put_first(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What an eye looks for, at the beginning of each line."""
    return {key: line[key] for key in ("timestamp", "level", "logger", "event")} | dict(line)
