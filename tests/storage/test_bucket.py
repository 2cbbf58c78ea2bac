"""The bucket over connections and servers that fail, over TLS, and whatever else is in the environment."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from imagesvc.settings import Settings
from imagesvc.storage import bucket
from imagesvc.storage.bucket import ATTEMPTS, BytesLike, ObjectGone, Storage, StorageAway, new_key
from tests.support.fault_proxy import FaultProxy, http_error
from tests.support.processes import environment

FOREVER = float("inf")
BODY = bytes(range(256)) * 4000
FOUND = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n'
NO_OBJECT = http_error(404, "NoSuchKey")


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with Storage(settings) as opened:
        yield opened


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[FaultProxy]:
    endpoint = urlsplit(settings.s3_endpoint)
    async with FaultProxy((str(endpoint.hostname), endpoint.port or 80)) as running:
        yield running


@pytest.fixture
async def proxied(settings: Settings, proxy: FaultProxy) -> AsyncIterator[Storage]:
    async with Storage(settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{proxy.port}"})) as opened:
        yield opened


@contextlib.asynccontextmanager
async def answering(settings: Settings, *answers: bytes) -> AsyncIterator[tuple[Storage, list[bytes]]]:
    """A bucket whose server gives these answers in turn and then closes each connection; also what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answers[min(len(asked), len(answers)) - 1])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Storage(settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"})) as opened:
        yield opened, asked


async def put(storage: Storage, body: BytesLike = BODY) -> str:
    key = new_key("o")
    await storage.put(key, body, media_type="image/jpeg", until=FOREVER)
    return key


async def read(storage: Storage, key: str, *limits: int) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key, *limits)])


OPERATIONS: Mapping[str, Callable[[Storage], Awaitable[Any]]] = {
    "put": put,
    "read": lambda storage: read(storage, new_key("o")),
    "size": lambda storage: storage.size(new_key("o")),
    "delete": lambda storage: storage.delete(new_key("o")),
}


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 1_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_an_object_is_read_as_it_was_put(storage: Storage, size: int, kind: Callable[[bytes], BytesLike]) -> None:
    key = await put(storage, kind(BODY[:size]))

    assert await read(storage, key) == BODY[:size]
    assert await storage.size(key) == size


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, 10), (999_999, 1_000_000), (300_000, 900_000)])
async def test_a_range_of_an_object_can_be_read(storage: Storage, start: int, stop: int) -> None:
    key = await put(storage, BODY[:1_000_000])

    assert await read(storage, key, start, stop) == BODY[start:stop]
    assert await read(storage, key, start) == BODY[start:1_000_000]


async def test_an_object_that_does_not_exist_is_gone_and_can_be_deleted(storage: Storage) -> None:
    key = new_key("o")

    assert await storage.size(key) is None
    await storage.delete(key)
    with pytest.raises(ObjectGone):
        await read(storage, key)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_wrong_keys_are_a_storage_that_is_away(settings: Settings, operation: str) -> None:
    async with Storage(settings.model_copy(update={"s3_secret_key": SecretStr("wrong")})) as refused:
        with pytest.raises(StorageAway):
            await OPERATIONS[operation](refused)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("failure", [http_error(503, "SlowDown"), http_error(500, "InternalError"), b""])
async def test_each_operation_is_tried_so_many_times(settings: Settings, operation: str, failure: bytes) -> None:
    """``b""``: the server closes the connection without an answer."""
    async with answering(settings, failure) as (storage, asked):
        with pytest.raises(StorageAway):
            await OPERATIONS[operation](storage)

    assert len(asked) == ATTEMPTS


async def test_a_server_that_recovers_between_two_attempts_is_not_away(settings: Settings) -> None:
    found = FOUND + b"Content-Length: 5\r\nConnection: close\r\n\r\n"

    async with answering(settings, http_error(503, "SlowDown"), found) as (storage, asked):
        size = await storage.size(new_key("o"))

    assert (size, len(asked)) == (5, 2)


async def test_a_lost_answer_to_a_put_is_a_second_put(proxied: Storage, proxy: FaultProxy, storage: Storage) -> None:
    proxy.drop_responses_to(rb"^PUT ")

    with pytest.raises(StorageAway):
        await put(proxied)

    assert proxy.dropped_responses == ATTEMPTS


async def test_half_a_body_is_never_taken_for_the_whole(settings: Settings) -> None:
    half = FOUND + b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + BODY[:500]

    async with answering(settings, half) as (storage, _):
        with pytest.raises((StorageAway, ObjectGone)):
            await read(storage, new_key("o"))


async def test_a_server_that_is_not_there_is_away(proxied: Storage, proxy: FaultProxy) -> None:
    proxy.refuse_connections()

    for operation in OPERATIONS.values():
        with pytest.raises(StorageAway):
            await operation(proxied)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_silent_server_is_away_after_its_attempts(
    settings: Settings, proxy: FaultProxy, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "READ_SECONDS", 0.2)
    proxy.stall()

    async with Storage(settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{proxy.port}"})) as silent:
        with pytest.raises(StorageAway):
            await asyncio.wait_for(OPERATIONS[operation](silent), 20)


async def test_a_cancelled_request_ends_at_once_and_the_next_one_works(proxied: Storage, proxy: FaultProxy) -> None:
    proxy.stall()
    requests = [asyncio.ensure_future(operation(proxied)) for operation in OPERATIONS.values()]
    await asyncio.sleep(0)
    for request in requests:
        request.cancel()
    ended = await asyncio.gather(*requests, return_exceptions=True)
    proxy.remove_faults()

    assert {type(end) for end in ended} == {asyncio.CancelledError}
    assert await read(proxied, await put(proxied)) == BODY


async def test_a_process_may_end_with_requests_under_way(settings: Settings, proxy: FaultProxy) -> None:
    proxy.stall()
    program = f"""
import asyncio
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key
async def main():
    storage = await Storage(Settings(s3_endpoint="http://127.0.0.1:{proxy.port}")).__aenter__()
    writing = [asyncio.create_task(storage.put(new_key("o"), bytes(99), media_type="image/jpeg", until=float("inf")))
               for _ in range(20)]
    reading = [asyncio.create_task(storage.size(new_key("o"))) for _ in range(20)]
    await asyncio.wait([*writing, *reading], timeout=0.3)
    await asyncio.wait_for(storage._stack.aclose(), 5)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment(settings), stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()

    assert (process.returncode, errors) == (0, b"")


async def test_only_the_settings_count_whatever_the_environment_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_BUCKET": "other",
    }.items():
        monkeypatch.setenv(name, value)

    async with Storage(settings) as storage:
        assert await read(storage, await put(storage)) == BODY


async def test_a_server_of_a_private_authority_is_reached_with_its_certificate(
    settings: Settings, tmp_path: Path
) -> None:
    authority, server = _authority_and_server("127.0.0.1")
    (tmp_path / "authority.pem").write_bytes(authority)
    (tmp_path / "server.pem").write_bytes(server)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "server.pem")
    endpoint = urlsplit(settings.s3_endpoint)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_s3, to_s3 = await asyncio.open_connection(endpoint.hostname, endpoint.port)
        with contextlib.suppress(OSError):
            await asyncio.gather(forward(reader, to_s3), forward(from_s3, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
    port = listening.sockets[0].getsockname()[1]
    over_tls = settings.model_copy(update={"s3_endpoint": f"https://127.0.0.1:{port}"})

    async with listening:
        async with Storage(over_tls.model_copy(update={"s3_ca_file": tmp_path / "authority.pem"})) as trusting:
            assert await read(trusting, await put(trusting)) == BODY
            await trusting.ping()
            assert "o/" in await trusting.folders()
        async with Storage(over_tls) as untrusting:
            for request in (put(untrusting), untrusting.ping()):
                with pytest.raises(StorageAway):
                    await request


def _authority_and_server(address: str) -> tuple[bytes, bytes]:
    """The certificate of an authority, and a server's certificate that it signed with its key, as PEM."""
    now = dt.datetime.now(dt.UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    signing, serving = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = builder.add_extension(names, critical=False).sign(signing, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    private = serving.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    return signed(issuer, signing, is_ca=True), signed(name, serving, is_ca=False) + private
