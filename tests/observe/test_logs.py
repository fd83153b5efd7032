"""Logs as an operator gets them: the standard error of a process that logs."""

from __future__ import annotations

import json
import subprocess
import sys

OPENING = """
import logging, structlog
from proxy.config import Secret
from proxy.observe.logs import configure_logging
configure_logging({level!r}, {log_format!r})
log = structlog.get_logger("proxy.test")
client = logging.getLogger("aiokafka.client")
"""


def log_lines(program: str, level: str = "info", log_format: str = "json") -> list[str]:
    """What a program writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", OPENING.format(level=level, log_format=log_format) + program],
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_line_is_json_with_time_level_logger_and_event() -> None:
    """Each event is one JSON object, its time in UTC, with the fields that it was given."""
    (line,) = log_lines("log.info('listening', port=8082, name='a\\nb')")
    fields = json.loads(line)
    assert list(fields)[:4] == ["timestamp", "level", "logger", "event"]
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "level": "info",
        "logger": "proxy.test",
        "event": "listening",
        "port": 8082,
        "name": "a\nb",
    }


def test_libraries_log_the_same_way() -> None:
    """aiokafka's and uvicorn's lines look like ours."""
    lines = log_lines(
        "client.error('Unable connect to node with id %s', 1)\n"
        "logging.getLogger('uvicorn.error').warning('Invalid HTTP request received.')"
    )
    assert [
        (fields["logger"], fields["level"], fields["event"]) for fields in map(json.loads, lines)
    ] == [
        ("aiokafka.client", "error", "Unable connect to node with id 1"),
        ("uvicorn.error", "warning", "Invalid HTTP request received."),
    ]


def test_console_lines_are_for_people() -> None:
    """The console form has no JSON, and a name from a request cannot break or colour a line."""
    (line,) = log_lines("log.warning('odd name', topic='a\\n\\x1b[31mb')", log_format="console")
    assert "[warning  ] odd name" in line
    assert r"topic='a\n\x1b[31mb'" in line
    assert not line.startswith("{")


def test_auto_is_json_where_standard_error_is_no_terminal() -> None:
    """A container's log is JSON without being told."""
    (line,) = log_lines("log.info('listening')", log_format="auto")
    assert json.loads(line)["event"] == "listening"


def test_a_secret_is_not_logged() -> None:
    """A secret that gets into a line by mistake is shown as ***."""
    program = "log.info('connecting', password=Secret('geheim'), all=[Secret('geheim')])"
    for log_format in ("json", "console"):
        (line,) = log_lines(program, log_format=log_format)
        assert "geheim" not in line
        assert "***" in line


def test_requests_as_sent_are_not_logged_at_debug() -> None:
    """aiokafka's debug lines, which hold records and credentials, never appear."""
    lines = log_lines(
        "log.debug('ours')\nlogging.getLogger('aiokafka.conn').debug('Request: geheim')",
        level="debug",
    )
    assert [json.loads(line)["event"] for line in lines] == ["ours"]


def test_a_level_leaves_out_what_is_below_it() -> None:
    """At error, warnings of ours and of libraries are not logged."""
    lines = log_lines("log.warning('a')\nclient.warning('b')\nlog.error('c')", level="error")
    assert [json.loads(line)["event"] for line in lines] == ["c"]


def test_a_dead_broker_is_a_few_lines() -> None:
    """Of a thousand lines alike three are logged, and the next window's first says what was not."""
    lines = log_lines(
        "import proxy.observe.logs as logs\n"
        "for number in range(1000):\n"
        "    client.error('Unable connect to node with id %s', number)\n"
        "    log.error('ours', number=number) if number < 5 else None\n"
        "logs.ALIKE_WINDOW_S = 0\n"
        "client.error('Unable connect to node with id %s', 'last')\n"
        "client.error('Another text')\n"
    )
    fields = [json.loads(line) for line in lines]
    assert [line["event"] for line in fields if line["logger"] == "aiokafka.client"] == [
        "Unable connect to node with id 0",
        "Unable connect to node with id 1",
        "Unable connect to node with id 2",
        "Unable connect to node with id last",
        "Another text",
    ]
    assert [line["left_out"] for line in fields if "left_out" in line] == [997]
    assert sum(line["event"] == "ours" for line in fields) == 5


def test_an_exception_is_logged_with_its_trace() -> None:
    """The trace is a field of the line, not lines of its own."""
    (line,) = log_lines("try: 1 / 0\nexcept ZeroDivisionError: log.exception('failed')")
    assert "ZeroDivisionError: division by zero" in json.loads(line)["exception"]
