"""
The tour that `dev` takes through its own HTTP port, told as curl lines with their real answers.

Each line can be pasted again, in this order, while `dev` serves.
"""

from __future__ import annotations

import http.client
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from proxy.dev.failure import DevFailure

TOPIC = "demo"
# For whoever watches: the tour of the README begins with it empty.
PLAYGROUND = "playground"
GROUP = "/consumers/demo-group"
INSTANCE = f"{GROUP}/instances/demo-1"
JSON = "application/vnd.kafka.json.v2+json"
V2 = "application/vnd.kafka.v2+json"
RECORDS = [
    {"key": "ann", "value": {"drink": "tea", "cups": 2}},
    {"key": "bob", "value": {"drink": "coffee", "cups": 1}},
    {"key": "ann", "value": {"drink": "tea", "cups": 3}},
]
# A fetch returns at the first data, and three records may be in two partitions, so a few will do.
MAX_FETCHES = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as sent and as told."""

    method: str
    path: str
    body: object = None
    content_type: str = V2
    accept: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that matter."""
        sent = {} if self.body is None else {"Content-Type": self.content_type}
        return sent if self.accept is None else {**sent, "Accept": self.accept}

    @property
    def payload(self) -> str | None:
        """The body as it is sent."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":"))

    def render_curl(self, url: str) -> str:
        """The command line that does the same."""
        # curl's own choice is left to it.
        usual = "GET" if self.payload is None else "POST"
        method = "" if self.method == usual else f"-X {self.method} "
        words = [f"curl -sS {method}{shlex.quote(url + self.path)}"]
        words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        if self.payload is None:
            return " ".join(words)
        return " \\\n    ".join([*words, f"-d {shlex.quote(self.payload)}"])


def take_tour(host: str, port: int, url: str, say: Say) -> None:
    """
    Produce, consume through a group, commit, look.

    Raises: DevFailure when an answer is not a success
    """

    def do(title: str, call: Call) -> str:
        say(f"# {title}")
        say(call.render_curl(url))
        answer = _send(host, port, call)
        say(f"{answer}\n" if answer else "(204, no body)\n")
        return answer

    produce = Call("POST", f"/topics/{TOPIC}", {"records": RECORDS}, content_type=JSON)
    do(f"Produce {len(RECORDS)} records to the topic '{TOPIC}'", produce)
    instance = {"name": "demo-1", "format": "json", "auto.offset.reset": "earliest"}
    do("Make a consumer instance in a group", Call("POST", GROUP, instance))
    do("Subscribe it", Call("POST", f"{INSTANCE}/subscription", {"topics": [TOPIC]}))
    fetched = 0
    for _ in range(MAX_FETCHES):
        fetch = Call("GET", f"{INSTANCE}/records?timeout=3000", accept=JSON)
        fetched += len(json.loads(do("Fetch what the group has not seen yet", fetch)))
        if fetched >= len(RECORDS):
            break
    else:
        raise DevFailure(f"only {fetched} of {len(RECORDS)} records came back", exit_code=1)
    do("Commit, so that the group goes on from here", Call("POST", f"{INSTANCE}/offsets"))
    do("Let the instance go", Call("DELETE", INSTANCE))


def _send(host: str, port: int, call: Call) -> str:
    # http.client: urllib would send this to the proxy of `http_proxy`.
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request(call.method, call.path, call.payload, call.headers)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise DevFailure(
            f"{call.method} {call.path} got no answer: {error}", exit_code=1
        ) from error
    finally:
        connection.close()
    if response.status >= 300:
        raise DevFailure(
            f"{call.method} {call.path} answered {response.status}: {text}", exit_code=1
        )
    return text
