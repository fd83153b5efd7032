"""`kafka-over-http dev` as one types it: the tour, its data, what stops it, and what is left."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from proxy.dev.embedded import find_binary
from proxy.dev.failure import DevFailure
from proxy.dev.ports import pick_port
from proxy.dev.session import grace_s

try:
    find_binary()
except DevFailure as failure:
    pytest.skip(f"no embedded broker here: {failure}", allow_module_level=True)


class Dev:
    """One run of the command."""

    def __init__(self, folder: Path, port: int, packages: Path | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.stderr = folder.with_name(f"{folder.name}.stderr")
        env = {name: value for name, value in os.environ.items() if not name.startswith("KOH_")}
        if packages is not None:
            env["PYTHONPATH"] = os.pathsep.join([str(packages), str(Path.cwd())])
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "dev", "--data-dir", folder, "--port", str(port)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=env,
            )

    def read_tour(self) -> str:
        """What it prints until it serves."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Serving on"):
                break
        return "".join(lines)

    def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Its exit code and the rest of what it printed, after a signal or by itself."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        rest, _ = self.process.communicate(timeout=20)
        return self.process.returncode, rest

    def refusal(self) -> str:
        """The one line of a start that was refused, which takes exit code 2."""
        code, printed = self.end()
        said = self.stderr.read_text()
        assert (code, printed, said.count("\n")) == (2, "", 1), said
        return said.removeprefix("kafka-over-http: ").rstrip()

    def hold_children(self) -> dict[str, int]:
        """Handles (pidfd) of its "broker" and "proxy", good also after they have ended."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
        return {
            "broker" if "--kafka-port" in command else "proxy": os.pidfd_open(child)
            for child, command in commands.items()
        }


@pytest.fixture
def devs() -> Iterator[list[Dev]]:
    """The runs of a test, none of which outlives it."""
    runs: list[Dev] = []
    yield runs
    for run in runs:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)
        if run.process.stdout is not None:
            run.process.stdout.close()


def await_end(handles: dict[str, int]) -> None:
    """Return when the processes of these handles have ended."""
    for name, handle in handles.items():
        ended, _, _ = select.select([handle], [], [], 15)
        os.close(handle)
        assert ended, f"the {name} was left behind"


def write_fake_broker(folder: Path, text: bytes | None) -> Path:
    """A `noida_db` package that comes before the installed one, with this as its binary."""
    package = folder / "noida_db"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    if text is not None:
        (package / "noida-db").write_bytes(text)
        (package / "noida-db").chmod(0o755)
    return folder


def count_records(url: str) -> int:
    """How many records the demo topic has, asked over HTTP."""
    paths = [f"{url}/topics/demo/partitions/{partition}/offsets" for partition in range(3)]
    return sum(int(httpx.get(path).json()["end_offset"]) for path in paths)


@pytest.mark.timeout(60)
def test_the_tour_is_told_and_its_data_are_kept(tmp_path: Path, devs: list[Dev]) -> None:
    """It shows curl lines with answers, serves until it is told to stop, and goes on next time."""
    folder, port = tmp_path / "dev", pick_port()
    for run, signal_number in enumerate([signal.SIGTERM, signal.SIGINT], start=1):
        dev = Dev(folder, port)
        devs.append(dev)
        told = dev.read_tour()
        assert ("Topic 'demo': created" in told) == (run == 1)
        assert f"curl -sS {dev.url}/topics/demo" in told
        # The group has committed: the second tour fetches its own three records, not six.
        assert told.count('"timestamp":') == 3
        assert f"\nServing on {dev.url} until Ctrl-C." in told
        assert count_records(dev.url) == 3 * run
        children = dev.hold_children()
        assert set(children) == {"broker", "proxy"}
        assert dev.end(signal_number) == (0, f"Stopped. The data stay in {folder}.\n")
        await_end(children)


@pytest.mark.timeout(60)
def test_each_curl_line_can_be_pasted(tmp_path: Path, devs: list[Dev]) -> None:
    """The lines that were told, given to a shell in their order, succeed again."""
    devs.append(Dev(tmp_path / "dev", pick_port()))
    commands = devs[0].read_tour().replace(" \\\n", " ").splitlines()
    pasted = [line.replace("curl -sS", "curl -sSf") for line in commands if line[:4] == "curl"]
    assert len(pasted) >= 6
    script = "\n".join(["set -e", *pasted])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fresh_one_has_two_topics(tmp_path: Path, devs: list[Dev]) -> None:
    """The tour's own and the playground, of one partition: the README's tour relies on it."""
    devs.append(Dev(tmp_path / "dev", pick_port()))
    devs[0].read_tour()
    assert httpx.get(f"{devs[0].url}/topics").json() == ["demo", "playground"]
    partitions = httpx.get(f"{devs[0].url}/topics/playground/partitions").json()
    assert [one["partition"] for one in partitions] == [0]


@pytest.mark.parametrize(
    ("settings", "least_s"),
    [
        ({}, 8),
        ({"drain_delay_ms": 20_000}, 28),
        ({"drain_delay_ms": 20_000, "shutdown_timeout_ms": 60_000}, 80),
    ],
)
def test_the_proxy_gets_the_time_to_stop_that_it_was_promised(
    settings: dict[str, object], least_s: int
) -> None:
    """It is not killed before the delay and the timeout of its settings are over, and 5 s more."""
    assert grace_s(settings) == least_s + 5


def test_a_taken_port_of_the_proxy_is_one_line(tmp_path: Path, devs: list[Dev]) -> None:
    """It says which port, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        devs.append(Dev(tmp_path / "dev", port))
        said = f"port {port} of 127.0.0.1 is already in use, choose another with --port"
        assert devs[0].refusal() == said


def test_a_taken_port_of_the_broker_is_one_line(tmp_path: Path, devs: list[Dev]) -> None:
    """The broker's port is remembered; taken by another, it says where that can be changed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev" / "broker-port").write_text(str(port))
        devs.append(Dev(tmp_path / "dev", pick_port()))
        assert devs[0].refusal() == (
            f"port {port} of the embedded broker is already in use; end what uses it, or remove "
            f"{tmp_path}/dev/broker-port for another"
        )


def test_two_in_one_folder_is_one_line(tmp_path: Path, devs: list[Dev]) -> None:
    """The second says whom it would disturb, and the first goes on."""
    first = Dev(tmp_path / "dev", pick_port())
    devs.append(first)
    first.read_tour()
    devs.append(Dev(tmp_path / "dev", pick_port()))
    assert devs[1].refusal() == (
        f"another `kafka-over-http dev` uses {tmp_path}/dev (pid {first.process.pid}); "
        "stop it, or choose another folder with --data-dir"
    )
    assert httpx.get(f"{first.url}/ready").status_code == 200


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, devs: list[Dev]) -> None:
    """A file where the folder should be."""
    (tmp_path / "dev").touch()
    devs.append(Dev(tmp_path / "dev", pick_port()))
    assert devs[0].refusal() == f"the data folder {tmp_path}/dev cannot be used: File exists"


@pytest.mark.parametrize(
    ("binary", "said"),
    [
        (None, "the embedded broker's binary is missing: {}"),
        (b"\x7fELF", "the embedded broker does not run here: {}: Exec format error"),
        (
            b"#!/bin/sh\necho cannot load libc >&2; exit 1\n",
            "the embedded broker does not run here: {}: cannot load libc",
        ),
        (
            b"#!/bin/sh\n[ $1 = version ] && echo fake 1 && exit\necho no room; exit 9\n",
            "the embedded broker ended at its start (exit code 9): no room (all of it: {})",
        ),
    ],
    ids=["missing", "no-program", "does-not-run", "ends-at-its-start"],
)
def test_a_broker_that_does_not_run_is_one_line(
    tmp_path: Path, devs: list[Dev], binary: bytes | None, said: str
) -> None:
    """It names the binary or its log, and gives the broker's own reason."""
    packages = write_fake_broker(tmp_path / "packages", binary)
    devs.append(Dev(tmp_path / "dev", pick_port(), packages))
    log = tmp_path / "dev" / "broker.log"
    named = log if "all of it" in said else packages / "noida_db" / "noida-db"
    assert devs[0].refusal() == said.format(named)


def test_a_platform_without_a_build_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform is named, and the way that works there."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(DevFailure, match="no embedded broker for Linux riscv64") as caught:
        find_binary()
    assert "serve --bootstrap-servers" in str(caught.value)


@pytest.mark.parametrize("dies", ["broker", "proxy"])
def test_when_one_part_dies_the_other_is_stopped(
    tmp_path: Path, devs: list[Dev], dies: str
) -> None:
    """One line says which one ended, and nothing is left behind."""
    devs.append(Dev(tmp_path / "dev", pick_port()))
    devs[0].read_tour()
    children = devs[0].hold_children()
    signal.pidfd_send_signal(children[dies], signal.SIGKILL)
    code, printed = devs[0].end()
    assert (code, printed) == (1, "")
    name = {"broker": "embedded broker", "proxy": "proxy"}[dies]
    line = f"kafka-over-http: the {name} ended by itself (exit code -9)\n"
    assert devs[0].stderr.read_text().endswith(line)
    await_end(children)


def test_a_killed_dev_leaves_nothing_behind(tmp_path: Path, devs: list[Dev]) -> None:
    """SIGKILL gives it no time to clean up; its parts end all the same, and the data are there."""
    devs.append(Dev(tmp_path / "dev", pick_port()))
    devs[0].read_tour()
    children = devs[0].hold_children()
    assert devs[0].end(signal.SIGKILL)[0] == -9
    await_end(children)
    devs.append(Dev(tmp_path / "dev", pick_port()))
    devs[1].read_tour()
    assert count_records(devs[1].url) == 6
