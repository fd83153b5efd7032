"""A broker in a container, through testcontainers: Redpanda, or what `TEST_IMAGE` names."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from testcontainers.community.kafka import KafkaContainer, RedpandaContainer
from testcontainers.core.config import testcontainers_config

from tests.brokers.broker import Broker, RungUnavailable

DEFAULT_IMAGE = "redpandadata/redpanda:v24.3.1"
START_TIMEOUT_S = 30
ASK_PING = "import docker; docker.from_env(timeout=5).ping()"
ASK_IMAGE = """
import docker, sys
engine = docker.from_env()
try:
    engine.images.get(sys.argv[1])
except docker.errors.ImageNotFound:
    engine.images.pull(sys.argv[1])
"""


def start_container(pull_timeout_s: float) -> Broker:
    """
    A broker of that image, started.

    Raises: RungUnavailable when no engine answers, or the image cannot be had or started
    """
    image = os.environ.get("TEST_IMAGE", DEFAULT_IMAGE)
    _ask_engine(ASK_PING, 10, "no Docker engine answers")
    _ask_engine(ASK_IMAGE, pull_timeout_s, f"{image} cannot be had", image)
    # Ryuk, which reaps left-over containers, is one more image that may be out of reach.
    testcontainers_config.ryuk_disabled = True
    container = RedpandaContainer(image) if "redpanda" in image else KafkaContainer(image)
    if isinstance(container, KafkaContainer):
        container.with_kraft()
    try:
        container.start(timeout=START_TIMEOUT_S)
        bootstrap = container.get_bootstrap_server()
    except BaseException as error:
        with contextlib.suppress(Exception):
            container.stop()
        if isinstance(error, Exception):
            raise RungUnavailable(f"{image} did not start: {_line(error)}") from error
        raise
    return Broker("testcontainers", f"testcontainers, {image}", bootstrap, stop=container.stop)


def _ask_engine(program: str, timeout_s: float, refusal: str, *arguments: str) -> None:
    # In a process of its own: docker-py's time-out is for one read, not for a whole pull, and what
    # it leaves open when no engine answers would fail a later test as a ResourceWarning.
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RungUnavailable(f"{refusal} ({timeout_s:g} s have passed)") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RungUnavailable(f"{refusal}: {reason[:200]}")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
