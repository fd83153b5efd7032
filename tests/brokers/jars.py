"""
Apache Kafka's jars, from Maven's repository into `.cache/`, once for each version of the pom.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.brokers.broker import RungUnavailable

POM = Path(__file__).with_name("kafka") / "pom.xml"
CACHE = Path(__file__).parents[2] / ".cache"
MINIMUM_JAVA = 17  # Source: Apache Kafka 4.0 release notes, "Java 17 for brokers"


def find_java() -> str:
    """
    The java command.

    Raises: RungUnavailable when there is none, or it is older than 17
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        raise RungUnavailable("no `java` on the path")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    if found is None or int(found[1]) < MINIMUM_JAVA:
        version = (done.stderr.strip().splitlines() or ["unknown version"])[0]
        raise RungUnavailable(f"{java} is not {MINIMUM_JAVA} or newer ({version})")
    return java


def kafka_version() -> str:
    """The version that the pom asks for."""
    found = re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", POM.read_text())
    if found is None:
        raise ValueError(f"no version of kafka_2.13 in {POM}")
    return found[1]


def fetch_jars(timeout_s: float) -> Path:
    """
    The folder with the jars.

    Raises: RungUnavailable without `mvn`, or when it fails or takes longer than `timeout_s`
    """
    folder = CACHE / f"kafka-{kafka_version()}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise RungUnavailable("no `mvn` on the path")
    CACHE.mkdir(exist_ok=True)
    # Into a folder beside it, then renamed: a half-filled folder never bears the name.
    filling = Path(tempfile.mkdtemp(prefix="kafka-", dir=CACHE))
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    try:
        done = subprocess.run(
            [*command, f"-DoutputDirectory={filling}"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise RungUnavailable(f"Maven could not fetch Kafka's jars: {_reason(done.stdout)}")
        filling.rename(folder)
    except subprocess.TimeoutExpired as error:
        raise RungUnavailable(f"Maven had not fetched Kafka's jars in {timeout_s:g} s") from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)
    return folder


def _reason(output: str) -> str:
    plain = re.sub("\x1b\\[[0-9;]*m", "", output)  # Maven resets colours even where it uses none
    errors = [line.removeprefix("[ERROR]").strip() for line in plain.splitlines()]
    return next(filter(None, errors), "no output")[:300]
