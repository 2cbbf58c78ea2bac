"""The embedded S3 server: what those without the keys can do at each of its ports, and what survives a kill."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import botocore.session
import httpx
import psutil
import pytest

from imagesvc.cli.process_registry import Ledger
from imagesvc.cli.supervisor import Supervisor
from imagesvc.embedded import DataFolder, EmbeddedServers
from imagesvc.embedded.seaweedfs import GRPC_OFFSET, PORTS
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, StorageAway
from tests.support.servers import Servers

pytestmark = pytest.mark.skipif("IMAGESVC_TEST_S3_ENDPOINT" in os.environ, reason="another S3 server is being used")

# of HTTP/2 (RFC 9113), with an empty SETTINGS frame
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
KEY, CONTENT = "private/picture", b"nobody else may see this"


def client(endpoint: str, access_key: str, secret_key: str) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )


@pytest.fixture
def stored(servers: Servers, bucket: str) -> Any:
    """A client with the keys, and one object in the bucket."""
    s3 = client(servers.s3_endpoint, servers.s3_access_key, servers.s3_secret_key)
    s3.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    return s3


@pytest.fixture
def ports(servers: Servers) -> dict[str, int]:
    found: dict[str, int] = json.loads((servers.run / "data" / "weed" / "ports.json").read_text())
    return found


def doors(bucket: str) -> list[str]:
    """The paths by which the four servers would read, write, list or grant, were they open."""
    return [
        "/",
        f"/{bucket}",
        f"/{bucket}/{KEY}",
        f"/buckets/{bucket}/{KEY}",
        "/buckets/?limit=100",
        "/buckets/?pretty=y&metadata=true",
        "/.tus/new",
        "/1,01637037d6",
        "/dir/assign",
        "/dir/lookup?volumeId=1",
        "/dir/lookup?fileId=1,01637037d6",
        "/dir/status",
        "/vol/grow?count=1",
        "/col/delete?collection=" + bucket,
        "/submit",
        "/admin/assign_volume?volume=1",
        "/ui/index.html",
        "/stats/counter",
        "/cluster/status",
        "/status",
        "/metrics",
        "/debug/pprof/heap",
    ]


@pytest.mark.parametrize("server", PORTS)
def test_without_the_keys_no_port_reads_or_changes_an_object(
    stored: Any, bucket: str, ports: dict[str, int], server: str
) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{ports[server]}", timeout=5) as stranger:
        read = [stranger.get(path) for path in doors(bucket)]
        written = [
            stranger.request(method, path, content=b"forged")
            for method in ("PUT", "POST", "DELETE", "PATCH")
            for path in doors(bucket)
        ]

    assert [answer.url for answer in read if CONTENT in answer.content] == []
    # errors of S3 repeat the key that was asked for
    assert [answer.url for answer in read if KEY in answer.text and KEY not in answer.url.path] == []
    assert [answer.request for answer in read + written if "Authorization" in answer.headers] == []
    assert [
        (answer.request.method, answer.url.path, answer.status_code)
        for answer in written
        if answer.status_code < 400 and answer.url.path not in STATUS_PAGES[server]
    ] == []
    assert stored.get_object(Bucket=bucket, Key=KEY)["Body"].read() == CONTENT
    assert [found["Key"] for found in stored.list_objects_v2(Bucket=bucket)["Contents"]] == [KEY]


# what answers without keys, with whatever method: that the server is there, its version, sizes
STATUS_PAGES = {
    "master": {"/", "/ui/index.html", "/cluster/status"},
    "volume": {"/status"},
    "filer": set[str](),
    "s3": {"/status"},
}


def test_the_keys_of_another_are_refused(stored: Any, bucket: str, servers: Servers) -> None:
    stranger = client(servers.s3_endpoint, servers.s3_access_key, "guessed")

    with pytest.raises(stranger.exceptions.ClientError, match="SignatureDoesNotMatch"):
        stranger.get_object(Bucket=bucket, Key=KEY)


@pytest.mark.parametrize("server", PORTS)
def test_grpc_talks_to_nobody_without_the_certificate(ports: dict[str, int], server: str) -> None:
    anonymous = ssl.create_default_context()
    anonymous.check_hostname, anonymous.verify_mode = False, ssl.CERT_NONE
    anonymous.set_alpn_protocols(["h2"])

    with socket.create_connection(("127.0.0.1", ports[server] + GRPC_OFFSET), timeout=5) as plain:
        secured = anonymous.wrap_socket(plain)
        secured.sendall(PREFACE)

        # with TLS 1.3 the refusal comes after the handshake
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            secured.recv(100)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServers, Supervisor]]:
    """An S3 server that may be killed."""
    with DataFolder(tmp_path / "data") as data:
        servers = EmbeddedServers(data, wanted=frozenset({"weed"}))
        supervisor = Supervisor(Ledger(data.run / "processes.json"), print)
        try:
            await supervisor.start(await servers.prepare())
            yield servers, supervisor
        finally:
            await supervisor.stop()


async def store(storage: Storage, key: str, acknowledged: set[str]) -> None:
    await storage.put(key, CONTENT, media_type="image/jpeg", until=time.monotonic() + 5)
    acknowledged.add(key)


async def store_while_it_is_killed(storage: Storage, server: psutil.Process) -> set[str]:
    """Writes all the time, kills the server in the middle; the keys that were acknowledged."""
    acknowledged: set[str] = set()

    async def write(name: str) -> None:
        with contextlib.suppress(StorageAway):
            for number in itertools.count():
                await store(storage, f"{name}/{number}", acknowledged)

    writers = [asyncio.create_task(write(f"writer-{number}")) for number in range(4)]
    async with asyncio.timeout(30):
        while len(acknowledged) < 50:
            await asyncio.sleep(0.01)
    server.kill()
    await asyncio.gather(*writers)
    return acknowledged


async def test_what_was_acknowledged_survives_the_kill_of_the_server(
    own: tuple[EmbeddedServers, Supervisor],
) -> None:
    servers, supervisor = own
    named: dict[str, Any] = {
        name.removeprefix("IMAGESVC_").lower(): value for name, value in servers.environment().items()
    }
    settings = Settings(**named, database_url="unused", redis_url="unused", secret_keys=f"k:{'x' * 32}")
    async with Storage(settings) as storage:
        await storage.ensure_bucket()

        acknowledged = await store_while_it_is_killed(storage, psutil.Process(supervisor.pid("weed")))

        await until_it_answers(storage)
        assert acknowledged - {key async for key, _ in storage.listing()} == set()
        assert {await read(storage, key) for key in acknowledged} == {CONTENT}


async def until_it_answers(storage: Storage) -> None:
    """The supervisor starts it again."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StorageAway):
                return await storage.ping()
            await asyncio.sleep(0.05)


async def read(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key)])
