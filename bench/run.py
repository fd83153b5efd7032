"""
`make bench`: each case beside its reference, alternating, medians of several rounds.

Figures of different runs say little on a shared machine; the share of the reference within one run
says more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.cases import CASES, Bench, Case, Figure
from bench.processes import ROOT, proxy
from proxy.dev.embedded import EmbeddedBroker
from proxy.dev.ports import pick_port
from tests.brokers.apache import ApacheKafka

LIBRARIES = ("aiokafka", "uvicorn", "uvloop", "httptools", "msgspec", "orjson")


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load, each round")
    parser.add_argument("--embedded", action="store_true", help="the embedded broker")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--json", type=Path, default=ROOT / ".cache" / "bench.json")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only in case.name]
    with _broker(embedded=given.embedded) as bootstrap, proxy(bootstrap) as served:
        _say(
            f"{describe_machine()}; ready after {served.seconds_to_ready:.2f} s, at rest "
            f"{served.rss_bytes / 2**20:.0f} MiB\n"
        )
        bench = Bench(bootstrap, served, given.seconds)
        results = [measure(case, bench, given.rounds) for case in cases]
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps({"machine": describe_machine(), "cases": results}, indent=1))
    _say(f"\nwritten to {given.json}")


def measure(case: Case, bench: Bench, rounds: int) -> dict[str, object]:
    """The medians of both sides, alternating."""
    ours: list[Figure] = []
    theirs: list[Figure] = []
    for _ in range(rounds):
        theirs.append(case.reference(bench))
        ours.append(case.ours(bench))
    rate, reference = _median(ours), _median(theirs)
    share = rate.per_second / reference.per_second
    _say(
        f"{case.name}\n    {rate.per_second:,.0f} {case.unit}/s,"
        f" {share:.0%} of {case.reference_name} ({reference.per_second:,.0f});"
        f" to reach {case.to_reach:.0%}; CPU s per million:"
        f" {rate.cpu_s_per_million:.2f}, reference {reference.cpu_s_per_million:.2f}"
    )
    return {
        "case": case.name,
        "unit": f"{case.unit}/s",
        "ours": rate.per_second,
        "reference": reference.per_second,
        "reference_name": case.reference_name,
        "share": share,
        "to_reach": case.to_reach,
        "cpu_s_per_million": rate.cpu_s_per_million,
        "reference_cpu_s_per_million": reference.cpu_s_per_million,
        "rounds": rounds,
    }


def describe_machine() -> str:
    """Machine, versions and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python"
        f" {platform.python_version()}, {libraries}, commit {commit or 'unknown'}"
    )


def _median(figures: list[Figure]) -> Figure:
    return Figure(
        statistics.median(figure.per_second for figure in figures),
        statistics.median(figure.cpu_s_per_million for figure in figures),
    )


@contextmanager
def _broker(*, embedded: bool) -> Iterator[str]:
    if embedded:
        broker = EmbeddedBroker(ROOT / ".cache" / "bench-broker", pick_port())
        broker.start()
        try:
            yield broker.bootstrap
        finally:
            broker.stop()
        return
    # A real heap: the small one of the tests would measure the collector.
    node = ApacheKafka({"num.network.threads": "2", "num.io.threads": "4"})
    node.start()
    try:
        yield node.bootstrap
    finally:
        node.stop()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
