"""
The container image, built and run for real.

Skipped where no Docker engine answers, or where it has no base image and cannot pull one.
TEST_BASE_IMAGE names a base in place of the Dockerfile's default; TEST_BUILD_ARGS are
further arguments for `docker build` ("--network host --build-arg PIP_CERT=…").

Kafka is reached by `--network host`, as the session's broker advertises 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy import __version__
from proxy.dev.ports import pick_port
from tests.brokers.broker import Broker
from tests.brokers.verify import count_members, read_all
from tests.conftest import TopicFactory

ROOT = Path(__file__).parents[2]
ENGINE_TIMEOUT_S = 10
PULL_TIMEOUT_S = 60
BUILD_TIMEOUT_S = 600
# What `docker stop` gives a container before it kills it.
STOP_GRACE_S = 10
# 39 MB when this was written: a compiler or a test suite that slips in is more.
MAX_ADDED_BYTES = 60_000_000
V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"

# The first test to run waits for the build.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(BUILD_TIMEOUT_S + 120)]


@dataclass(frozen=True, slots=True)
class Container:
    """A started container, by its id."""

    id: str

    def inspect(self, path: str) -> Any:
        """What `docker inspect` has at a path such as `.State.ExitCode`."""
        return json.loads(docker("inspect", "--format", f"{{{{json {path}}}}}", self.id).stdout)

    def stop(self) -> tuple[int, float]:
        """End it as one does; its exit code, and how many seconds it took."""
        begun = time.monotonic()
        docker("stop", self.id)
        return self.inspect(".State.ExitCode"), time.monotonic() - begun

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return docker("logs", self.id).stderr

    async def await_healthy(self) -> None:
        """Wait until its own check has said so; Docker tells of it in no other way."""
        async with asyncio.timeout(30):
            while self.inspect(".State.Health.Status") != "healthy":  # noqa: ASYNC110
                await asyncio.sleep(0.2)


ContainerFactory = Callable[..., Container]


def docker(
    *arguments: str, timeout_s: float = 60, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the docker command; its output is in the failure if it fails."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(f"docker {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def try_docker(refusal: str, *arguments: str, timeout_s: float) -> None:
    """Run the docker command, or skip with its reason."""
    try:
        done = docker(*arguments, timeout_s=timeout_s, check=False)
    except FileNotFoundError:
        pytest.skip(f"{refusal}: there is no docker command")
    except subprocess.TimeoutExpired:
        pytest.skip(f"{refusal}: {timeout_s:g} s have passed")
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{refusal}: {reason[:200]}")


def default_base() -> str:
    """The base image that the Dockerfile names."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def base_image() -> str:
    """A base image that the engine has."""
    try_docker(
        "no Docker engine answers",
        *("version", "--format", "{{.Server.Version}}"),
        timeout_s=ENGINE_TIMEOUT_S,
    )
    base = os.environ.get("TEST_BASE_IMAGE") or default_base()
    if docker("image", "inspect", base, check=False).returncode != 0:
        refusal = f"base image {base} cannot be had (TEST_BASE_IMAGE names another)"
        try_docker(refusal, "pull", base, timeout_s=PULL_TIMEOUT_S)
    return base


@pytest.fixture(scope="module")
def image(base_image: str) -> Iterator[str]:
    """The image, built from this checkout and removed at the end."""
    tag = f"kafka-over-http-test:{uuid.uuid4().hex[:12]}"
    extra = shlex.split(os.environ.get("TEST_BUILD_ARGS", ""))
    docker(
        *("build", "--build-arg", f"BASE_IMAGE={base_image}", "--tag", tag, *extra, str(ROOT)),
        timeout_s=BUILD_TIMEOUT_S,
    )
    yield tag
    docker("image", "rm", tag)


@pytest.fixture
def start_container(image: str) -> Iterator[ContainerFactory]:
    """A maker of containers: `start_container("--read-only", KOH_PORT="8083")`."""
    started: list[Container] = []

    def start(*options: str, **environment: str) -> Container:
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        done = docker("run", "--detach", *options, *variables, image)
        started.append(Container(done.stdout.strip()))
        return started[-1]

    yield start
    for container in started:
        docker("rm", "--force", container.id)


async def await_status(url: str, status: int = 200) -> None:
    """Wait until a GET is answered so."""
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == status:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def test_image_says_how_it_is_to_be_run(image: str) -> None:
    """User by number, port, signal, entry point and labels are in the image."""
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)
    assert config["User"] == "65532:65532"
    assert config["ExposedPorts"] == {"8082/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert (config["Entrypoint"], config["Cmd"]) == (["kafka-over-http"], ["serve"])
    assert config["Labels"]["org.opencontainers.image.title"] == "kafka-over-http"


def test_image_is_small(image: str, base_image: str) -> None:
    """It adds to its base what it runs, and no tool, test or second copy."""
    sizes = [
        int(docker("image", "inspect", "--format", "{{.Size}}", one).stdout)
        for one in (image, base_image)
    ]
    assert 0 < sizes[0] - sizes[1] < MAX_ADDED_BYTES
    listed = docker("run", "--rm", "--entrypoint", "find", image, "/opt/kafka-over-http").stdout
    found = {Path(line).name for line in listed.splitlines()}
    assert {"kafka-over-http", "proxy", "openapi.yaml"} <= found
    assert not {"pip", "setuptools", "hatchling", "pytest", "tests"} & found


def test_arguments_go_to_the_command(image: str) -> None:
    """`docker run IMAGE --help` and `docker run IMAGE version` answer, and exit with 0."""
    assert "commands:" in docker("run", "--rm", image, "--help").stdout
    assert docker("run", "--rm", image, "version").stdout == f"kafka-over-http {__version__}\n"


def test_missing_brokers_are_told_in_one_line(image: str) -> None:
    """Without KOH_BOOTSTRAP_SERVERS: one line that names it, and exit code 2."""
    done = docker("run", "--rm", image, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "KOH_BOOTSTRAP_SERVERS" in done.stderr


async def test_mapped_port_answers(start_container: ContainerFactory) -> None:
    """It listens on all networks of the container; it starts and stops where no broker is."""
    container = start_container("--publish=127.0.0.1::8082", KOH_BOOTSTRAP_SERVERS="127.0.0.1:1")
    address = docker("port", container.id, "8082/tcp").stdout.split()[0]
    await await_status(f"http://{address}/live")
    await await_status(f"http://{address}/ready", 503)
    code, took_s = container.stop()
    assert (code, took_s < STOP_GRACE_S) == (0, True), container.log


async def test_stop_ends_a_long_poll_and_leaves_the_group(
    start_container: ContainerFactory, broker: Broker, topic: TopicFactory, name: str
) -> None:
    """
    As any user, without rights or a file to write to, it serves a group and becomes healthy;
    `docker stop` answers the open long poll, leaves the group and exits with 0 within the grace.
    """
    records_topic = await topic()
    url = f"http://127.0.0.1:{(port := pick_port())}"
    container = start_container(
        *("--network=host", "--read-only", "--user=12345", "--cap-drop=ALL"),
        KOH_BOOTSTRAP_SERVERS=broker.bootstrap,
        KOH_PORT=str(port),
    )
    await await_status(f"{url}/ready")
    instance = f"{url}/consumers/{name}/instances/one"
    async with httpx.AsyncClient(timeout=90) as client:

        async def post(address: str, body: object, media_type: str = V2) -> int:
            headers = {"Content-Type": media_type}
            return (await client.post(address, json=body, headers=headers)).status_code

        records = {"records": [{"key": "eve", "value": {"cups": 2}}]}
        assert await post(f"{url}/topics/{records_topic}", records, JSON) == 200
        new = {"name": "one", "format": "json", "auto.offset.reset": "earliest"}
        assert await post(f"{url}/consumers/{name}", new) == 200
        assert await post(f"{instance}/subscription", {"topics": [records_topic]}) == 204
        fetched = await client.get(f"{instance}/records?timeout=10000", headers={"Accept": JSON})
        assert fetched.status_code == 200, fetched.text
        assert [(one["key"], one["value"]) for one in fetched.json()] == [("eve", {"cups": 2})]
        [kept] = await read_all(broker.bootstrap, records_topic)
        assert (kept.key, kept.value) == (b'"eve"', b'{"cups":2}')
        assert await count_members(broker.bootstrap, name) == 1
        await container.await_healthy()

        poll = asyncio.create_task(
            client.get(f"{instance}/records?timeout=60000", headers={"Accept": JSON})
        )
        # Long enough to have arrived; nothing tells of an open poll.
        done, _ = await asyncio.wait({poll}, timeout=1)
        assert not done
        code, took_s = await asyncio.to_thread(container.stop)
        assert (code, took_s < STOP_GRACE_S) == (0, True), container.log
        answer = await poll
        assert (answer.status_code, answer.json()) == (200, [])
    assert await count_members(broker.bootstrap, name) == 0
