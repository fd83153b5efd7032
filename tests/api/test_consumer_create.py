"""POST /consumers/{group}: what makes an instance, what does not, and the address that it has."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.api.instance_client import NOTHING, V2, an_instance, answer, http_client, refused
from tests.conftest import ProxyFactory

pytestmark = pytest.mark.anyio

ALL_TYPED = {
    "name": "typed",
    "format": "json",
    "auto.offset.reset": "latest",
    "auto.commit.enable": True,
    "fetch.min.bytes": 10,
    "consumer.request.timeout.ms": 2000,
    "isolation.level": "read_committed",
    "session.timeout.ms": 6000,
}
ALL_STRINGS = {
    **{name: str(value).lower() for name, value in ALL_TYPED.items()},
    "name": "strings",
    "key.format": "binary",
    "value.format": "TEXT",
}
CONFIG = "Invalid consumer configuration: Invalid value "


@pytest.mark.parametrize("body", [ALL_TYPED, ALL_STRINGS], ids=["typed", "strings"])
async def test_every_field(proxy_url: str, name: str, body: dict[str, object]) -> None:
    """Each field may be typed or a string; the answer has the name and the address."""
    async with http_client() as client:
        made = await client.post(f"{proxy_url}/consumers/{name}", json=body)
        base = f"{proxy_url}/consumers/{name}/instances/{body['name']}"
        assert answer(made) == (200, V2, {"instance_id": body["name"], "base_uri": base})
        assert answer(await client.delete(base)) == NOTHING


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" \n"])
async def test_no_field(proxy_url: str, name: str, body: bytes) -> None:
    """Everything has a default, the name is made up, and no Content-Type is needed."""
    async with http_client() as client:
        made = await client.post(f"{proxy_url}/consumers/{name}", content=body)
        instance_id = made.json()["instance_id"]
        base = f"{proxy_url}/consumers/{name}/instances/{instance_id}"
        assert answer(made) == (200, V2, {"instance_id": instance_id, "base_uri": base})
        assert answer(await client.delete(base)) == NOTHING


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"format":"avro"}', refused(422, "Invalid format type.", 422)),
        (b'{"value.format":"xml"}', refused(422, "Invalid format type.", 422)),
        (b'{"nam":"a"}', refused(422, "Unrecognized field: nam", 422)),
        (
            b'{"auto.offset.reset":"smallest"}',
            refused(
                42204,
                CONFIG + "smallest for configuration auto.offset.reset: String must be one of:"
                " earliest, latest, none",
            ),
        ),
        (
            b'{"auto.commit.enable":"yes"}',
            refused(
                42204,
                CONFIG + "yes for configuration auto.commit.enable: Expected value to be either"
                " true or false",
            ),
        ),
        (
            b'{"fetch.min.bytes":-2}',
            refused(
                42204, CONFIG + "-2 for configuration fetch.min.bytes: Value must be at least -1"
            ),
        ),
        (
            b'{"consumer.request.timeout.ms":"soon"}',
            refused(
                42204,
                CONFIG + "soon for configuration consumer.request.timeout.ms:"
                " Not a number of type INT",
            ),
        ),
    ],
)
async def test_refused(
    proxy_url: str, name: str, body: bytes, expected: tuple[int, str, object]
) -> None:
    """What is wrong is said with the contract's code, and no instance is made."""
    async with http_client() as client:
        assert answer(await client.post(f"{proxy_url}/consumers/{name}", content=body)) == expected


async def test_malformed_json_and_a_bad_type(proxy_url: str, name: str) -> None:
    """Malformed JSON is 400, another content type 415, an unacceptable Accept 406."""
    address = f"{proxy_url}/consumers/{name}"
    async with http_client() as client:
        broken = await client.post(address, content=b'{"name":')
        assert (broken.status_code, broken.json()["error_code"]) == (400, 400)
        typed = await client.post(address, content=b"{}", headers={"content-type": "text/xml"})
        assert (typed.status_code, typed.json()["error_code"]) == (415, 415)
        asked = await client.post(address, content=b"{}", headers={"accept": "text/xml"})
        assert (asked.status_code, asked.json()["error_code"]) == (406, 406)


async def test_a_name_may_be_used_once_in_a_group(proxy_url: str, name: str) -> None:
    """The second of a name in a group is refused, in another group it is not, nor after the end."""
    async with an_instance(proxy_url, name, name="a") as first, http_client() as client:
        again = await client.post(f"{proxy_url}/consumers/{name}", json={"name": "a"})
        assert answer(again) == refused(
            40902,
            "Consumer with specified consumer ID already exists in the specified consumer group.",
        )
        async with an_instance(proxy_url, f"{name}-other", name="a"):
            pass
        assert answer(await first.delete()) == NOTHING
        async with an_instance(proxy_url, name, name="a"):
            pass


@pytest.mark.parametrize("given", ["a/b", "a b+c", "ünï-日本", "50%", "a?b#c", "%2F"])
async def test_names_are_percent_encoded(proxy_url: str, name: str, given: str) -> None:
    """A name may hold anything; `base_uri` has it encoded and can be used as it is."""
    group = f"{name} {given}"
    async with http_client() as client:
        made = await client.post(
            f"{proxy_url}/consumers/{quote(group, safe='')}", json={"name": given}
        )
        base = f"{proxy_url}/consumers/{quote(group, safe='')}/instances/{quote(given, safe='')}"
        assert answer(made) == (200, V2, {"instance_id": given, "base_uri": base})
        shown = await client.get(f"{base}/assignments")
        assert answer(shown) == (200, V2, {"partitions": []})
        assert answer(await client.delete(f"{base}/")) == NOTHING


async def test_control_characters_are_refused(proxy_url: str) -> None:
    """A control character in a group's or an instance's name is the client's mistake."""
    async with http_client() as client:
        group = await client.post(f"{proxy_url}/consumers/My%0Dconsumer", json={})
        assert (group.status_code, group.json()["error_code"]) == (400, 40002)
        assert "group_name" in group.json()["message"]
        named = await client.post(f"{proxy_url}/consumers/g", json={"name": "a\rb"})
        assert (named.status_code, named.json()["error_code"]) == (400, 40002)


async def _base_uri(url: str, headers: dict[str, str]) -> str:
    async with http_client() as client:
        made = await client.post(f"{url}/consumers/g", json={}, headers=headers)
        found: str = made.json()["base_uri"]
        address = httpx.URL(found)
        await client.delete(url + address.raw_path.decode().removeprefix("/kafka"))
        return found.split("/consumers/")[0]


async def test_base_uri_is_where_the_client_reached_us(start_proxy: ProxyFactory) -> None:
    """
    The request's Host; what a front proxy says only where it is trusted; the configured address
    before all.
    """
    forwarded = {"host": "h:1", "x-forwarded-host": "front", "x-forwarded-proto": "https"}
    standard = {"host": "h:1", "forwarded": 'for=1.2.3.4;host="front:8443";proto=https, host=x'}
    plain = start_proxy().url
    assert await _base_uri(plain, {"host": "some.where:99"}) == "http://some.where:99"
    assert await _base_uri(plain, forwarded) == "http://h:1"
    assert await _base_uri(plain, standard) == "http://h:1"
    trusting = start_proxy(trusted_proxies="127.0.0.0/8", root_path="/kafka").url
    assert await _base_uri(trusting, forwarded) == "https://front/kafka"
    assert await _base_uri(trusting, standard) == "https://front:8443/kafka"
    told = start_proxy(trusted_proxies="127.0.0.0/8", advertised_url="https://me.example/k/").url
    assert await _base_uri(told, standard) == "https://me.example/k"


async def test_there_may_be_so_many(start_proxy: ProxyFactory, name: str) -> None:
    """Beyond `max_consumer_instances` there is 503 with Retry-After, until one is deleted."""
    url = start_proxy(max_consumer_instances=1).url
    async with an_instance(url, name) as first:
        refusal = await first.client.post(f"{url}/consumers/{name}", json={})
        assert (refusal.status_code, refusal.json()["error_code"]) == (503, 50304)
        assert int(refusal.headers["retry-after"]) > 0
        await first.delete()
        async with an_instance(url, name):
            pass
