"""The embedded S3 server: what clients without the keys can do on each port, and what survives a kill."""

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

from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.cli.supervisor import Supervisor
from imagesvc.embedded import DataFolder, EmbeddedServers
from imagesvc.embedded.seaweedfs import GRPC_OFFSET, PORTS
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, StorageAway
from tests.support.servers import Servers

pytestmark = pytest.mark.skipif("IMAGESVC_TEST_S3_ENDPOINT" in os.environ, reason="an external S3 server is used")

# the connection preface of HTTP/2 (RFC 9113, section 3.4), with an empty SETTINGS frame
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
KEY, CONTENT = "private/picture", b"content of a private object"


def client(endpoint: str, access_key: str, secret_key: str) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )


@pytest.fixture
def s3(servers: Servers, bucket: str) -> Any:
    """A client with the keys; the bucket contains one object."""
    authorized = client(servers.s3_endpoint, servers.s3_access_key, servers.s3_secret_key)
    authorized.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    return authorized


@pytest.fixture
def ports(servers: Servers) -> dict[str, int]:
    found: dict[str, int] = json.loads((servers.run / "data" / "weed" / "ports.json").read_text())
    return found


def probed_paths(bucket: str) -> list[str]:
    """The paths on which the four servers read, write, list or assign when they are not protected."""
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
def test_no_port_reads_or_changes_an_object_without_the_keys(
    s3: Any, bucket: str, ports: dict[str, int], server: str
) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{ports[server]}", timeout=5) as stranger:
        read = [stranger.get(path) for path in probed_paths(bucket)]
        written = [
            stranger.request(method, path, content=b"forged")
            for method in ("PUT", "POST", "DELETE", "PATCH")
            for path in probed_paths(bucket)
        ]

    assert [answer.url for answer in read if CONTENT in answer.content] == []
    # S3 errors repeat the requested key
    assert [answer.url for answer in read if KEY in answer.text and KEY not in answer.url.path] == []
    assert [answer.request for answer in read + written if "Authorization" in answer.headers] == []
    assert [
        (answer.request.method, answer.url.path, answer.status_code)
        for answer in written
        if answer.status_code < 400 and answer.url.path not in STATUS_PAGES[server]
    ] == []
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == CONTENT
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [KEY]


# these answer any method without keys: they show that the server runs, its version, and sizes
STATUS_PAGES = {
    "master": {"/", "/ui/index.html", "/cluster/status"},
    "volume": {"/status"},
    "filer": set[str](),
    "s3": {"/status"},
}


def test_a_wrong_secret_key_is_refused(s3: Any, bucket: str, servers: Servers) -> None:
    stranger = client(servers.s3_endpoint, servers.s3_access_key, "guessed")

    with pytest.raises(stranger.exceptions.ClientError, match="SignatureDoesNotMatch"):
        stranger.get_object(Bucket=bucket, Key=KEY)


@pytest.mark.parametrize("server", PORTS)
def test_grpc_refuses_clients_without_the_certificate(ports: dict[str, int], server: str) -> None:
    anonymous = ssl.create_default_context()
    anonymous.check_hostname, anonymous.verify_mode = False, ssl.CERT_NONE
    anonymous.set_alpn_protocols(["h2"])

    with socket.create_connection(("127.0.0.1", ports[server] + GRPC_OFFSET), timeout=5) as plain:
        secured = anonymous.wrap_socket(plain)
        secured.sendall(PREFACE)

        # in TLS 1.3 the server checks the client certificate after the handshake
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            secured.recv(100)


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServers, Supervisor]]:
    """An S3 server of this test, which it may kill."""
    with DataFolder(tmp_path / "data") as data:
        servers = EmbeddedServers(data, wanted=frozenset({"weed"}))
        supervisor = Supervisor(ProcessRegistry(data.run / "processes.json"), print)
        try:
            await supervisor.start(await servers.prepare())
            yield servers, supervisor
        finally:
            await supervisor.stop()


async def store(storage: Storage, key: str, acknowledged: set[str]) -> None:
    await storage.put(key, CONTENT, media_type="image/jpeg", until=time.monotonic() + 5)
    acknowledged.add(key)


async def store_while_it_is_killed(storage: Storage, server: psutil.Process) -> set[str]:
    """Writes continuously and kills the server meanwhile. Returns the acknowledged keys."""
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


async def test_acknowledged_objects_survive_a_kill_of_the_server(
    own_server: tuple[EmbeddedServers, Supervisor],
) -> None:
    servers, supervisor = own_server
    connection: dict[str, Any] = {
        name.removeprefix("IMAGESVC_").lower(): value for name, value in servers.environment().items()
    }
    settings = Settings(**connection, database_url="unused", redis_url="unused", secret_keys=f"k:{'x' * 32}")
    async with Storage(settings) as storage:
        await storage.ensure_bucket()

        acknowledged = await store_while_it_is_killed(storage, psutil.Process(supervisor.pid("weed")))

        await until_it_answers(storage)
        assert acknowledged - {key async for key, _ in storage.listing()} == set()
        assert {await read(storage, key) for key in acknowledged} == {CONTENT}


async def until_it_answers(storage: Storage) -> None:
    """Waits until the supervisor has restarted the server."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StorageAway):
                return await storage.ping()
            await asyncio.sleep(0.05)


async def read(storage: Storage, key: str) -> bytes:
    """The object, once its volume has registered with the restarted server. Raises ObjectGone when it is lost."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StorageAway):
                return b"".join([chunk async for chunk in storage.read(key)])
            await asyncio.sleep(0.05)
