"""What the fetcher returns, and how it handles hosts that misbehave."""

import asyncio
import datetime as dt
import gzip
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imagesvc.fetching import Fetcher, FetchFailed
from tests.fetching.conftest import NewFetcher
from tests.fetching.fetched import body_of, failure_of
from tests.support.image_server import Behavior, ImageServer, answer, endless, raw

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


async def test_a_file_arrives_in_chunks_with_its_length_and_validators(images: ImageServer, fetcher: Fetcher) -> None:
    url = images.serve("/a.jpg?x=1", b"x" * 200_000, etag='"v1"', last_modified="Fri, 20 Nov 2026 09:00:00 GMT")

    async with fetcher.fetch(url) as fetched:
        chunks = [chunk async for chunk in fetched.chunks]

    assert (fetched.status, fetched.length, fetched.not_modified) == (200, 200_000, False)
    assert (fetched.etag, fetched.last_modified) == ('"v1"', "Fri, 20 Nov 2026 09:00:00 GMT")
    assert b"".join(chunks) == b"x" * 200_000
    assert len(chunks) > 1
    sent = images.requests[0].headers
    assert (sent["host"], sent["accept-encoding"]) == (f"127.0.0.1:{images.port}", "identity")
    assert {"cookie", "authorization"}.isdisjoint(sent)


async def test_an_unchanged_file_is_not_modified_and_has_no_body(images: ImageServer, fetcher: Fetcher) -> None:
    url = images.serve("/a.jpg", b"", status=304)

    async with fetcher.fetch(url, etag='"v1"', last_modified="Fri, 20 Nov 2026 09:00:00 GMT") as fetched:
        chunks = [chunk async for chunk in fetched.chunks]

    assert (fetched.not_modified, chunks) == (True, [])
    assert images.requests[0].headers["if-none-match"] == '"v1"'
    assert images.requests[0].headers["if-modified-since"] == "Fri, 20 Nov 2026 09:00:00 GMT"
    assert await failure_of(fetcher, url) == ("http-304", False)


async def test_connections_are_reused(images: ImageServer, fetcher: Fetcher) -> None:
    url = images.serve("/a.jpg", b"x" * 1000)

    bodies = [await body_of(fetcher, url) for _ in range(3)]

    assert bodies == [b"x" * 1000] * 3
    assert images.connections == 1


@pytest.mark.parametrize(
    ("behavior", "reason", "retryable"),
    [
        (answer(b"", status=404), "http-404", False),
        (answer(b"", status=401), "http-401", False),
        (answer(b"", status=204), "http-204", False),
        (answer(b"", status=408), "http-408", True),
        (answer(b"", status=429), "http-429", True),
        (answer(b"", status=500), "http-500", True),
        (answer(b"", status=503), "http-503", True),
        (answer(b"x" * 10, content_length="20"), "bad-answer", True),
        (raw(CHUNKED + b"5\r\nxx"), "bad-answer", True),
        (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), "bad-answer", True),
        (raw(b""), "bad-answer", True),
        (raw(OK + b"content-length: -1\r\n\r\nx"), "bad-answer", True),
        (raw(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), "bad-answer", True),
        (answer(gzip.compress(b"\0" * 100_000), content_encoding="gzip"), "encoded", False),
        (answer(b"x", content_encoding="br, identity"), "encoded", False),
        (answer(b"moved", status=302, location="http://["), "url-refused", False),
        (answer(b"moved", status=302), "http-302", False),
        (answer(b"x" * 1001), "too-large", False),
        (endless(CHUNKED, b"64\r\n" + b"x" * 100 + b"\r\n"), "too-large", False),
    ],
)
async def test_each_failure_has_a_reason_and_says_whether_it_is_retryable(
    images: ImageServer, fetcher_with: NewFetcher, behavior: Behavior, reason: str, retryable: bool
) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", max_file_bytes=1000)

    assert await failure_of(fetcher, images.behave("/a.jpg", behavior)) == (reason, retryable)


async def test_a_file_of_exactly_the_maximum_size_is_accepted(images: ImageServer, fetcher_with: NewFetcher) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", max_file_bytes=1000)
    with_length = images.serve("/with.jpg", b"x" * 1000)
    without_length = images.behave("/without.jpg", raw(OK + b"connection: close\r\n\r\n" + b"x" * 1000))

    assert [len(await body_of(fetcher, url)) for url in (with_length, without_length)] == [1000, 1000]


async def test_a_second_fetch_succeeds_after_a_temporary_failure(images: ImageServer, fetcher: Fetcher) -> None:
    url = images.behave("/a.jpg", answer(b"", status=500), answer(b"picture"))

    assert await failure_of(fetcher, url) == ("http-500", True)
    assert await body_of(fetcher, url) == b"picture"


SLOW = {"fetch_idle_seconds": 0.2, "fetch_min_bytes_per_second": 10_000, "fetch_max_seconds": 1.0}


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (endless(b"", b"", pause_seconds=0.05), "timed-out"),
        (endless(OK, b"x-a: y\r\n", pause_seconds=0.05), "timed-out"),
        (endless(CHUNKED, b"", pause_seconds=0.05), "timed-out"),
        (endless(CHUNKED + b"5;x=", b"y", pause_seconds=0.05), "timed-out"),
        (endless(CHUNKED, b"1\r\nx\r\n", pause_seconds=0.02), "too-slow"),
    ],
    ids=["silent", "endless head", "stalled body", "slow chunk framing", "slow body"],
)
async def test_a_fetch_from_a_slow_host_is_aborted(
    images: ImageServer, fetcher_with: NewFetcher, behavior: Behavior, reason: str
) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", fetch_connect_seconds=0.2, **SLOW)

    assert await failure_of(fetcher, images.behave("/a.jpg", behavior)) == (reason, True)


async def test_an_endless_response_is_aborted_after_the_time_limit(
    images: ImageServer, fetcher_with: NewFetcher
) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", fetch_max_seconds=0.5, fetch_min_bytes_per_second=1)
    url = images.behave("/a.jpg", endless(CHUNKED, b"1\r\nx\r\n", pause_seconds=0.01))

    assert await failure_of(fetcher, url) == ("timed-out", True)


async def test_a_slow_consumer_does_not_count_against_the_host(images: ImageServer, fetcher_with: NewFetcher) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", fetch_connect_seconds=0.2, **SLOW)
    url, received = images.serve("/a.jpg", b"x" * 100_000), 0

    async with fetcher.fetch(url) as fetched:
        async for chunk in fetched.chunks:
            await asyncio.sleep(0.3)
            received += len(chunk)

    assert received == 100_000


async def test_a_refused_connection_is_retryable(images: ImageServer, fetcher: Fetcher) -> None:
    assert await failure_of(fetcher, "http://127.0.0.1:1/a.jpg") == ("not-reachable", True)


async def test_three_redirects_are_followed_but_not_a_fourth(images: ImageServer, fetcher: Fetcher) -> None:
    images.serve("/0", b"picture")
    images.redirect("/1", "/0", status=301)
    images.redirect("/2", images.url("/1"), status=307)
    images.redirect("/3", "./2", status=308)
    images.redirect("/4", f"//127.0.0.1:{images.port}/3", status=303)

    assert await body_of(fetcher, images.url("/3")) == b"picture"
    assert await failure_of(fetcher, images.url("/4")) == ("too-many-redirects", False)


async def test_a_redirect_loop_is_aborted(images: ImageServer, fetcher: Fetcher) -> None:
    assert await failure_of(fetcher, images.redirect("/a", "/a")) == ("too-many-redirects", False)
    assert images.times("/a") == 4


async def test_concurrent_requests_per_host_are_limited(images: ImageServer, fetcher_with: NewFetcher) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", fetch_per_host=3)

    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await answer(b"x")(writer)

    url = images.behave("/a.jpg", slowly)

    bodies = await asyncio.gather(*(body_of(fetcher, url) for _ in range(9)))

    assert bodies == [b"x"] * 9
    assert images.max_concurrent == 3


async def test_an_aborted_fetch_frees_its_slot(images: ImageServer, fetcher_with: NewFetcher) -> None:
    fetcher = fetcher_with(fetch_allow="127.0.0.1/32", fetch_per_host=1)
    big = images.behave("/big.jpg", endless(CHUNKED, b"64\r\n" + b"x" * 100 + b"\r\n"))
    small = images.serve("/small.jpg", b"x")

    async with fetcher.fetch(big) as fetched:
        await anext(fetched.chunks)

    assert await body_of(fetcher, small) == b"x"


async def test_post_returns_the_status_and_follows_no_redirect(images: ImageServer, fetcher: Fetcher) -> None:
    images.serve("/hook", b"thanks", status=202)
    images.redirect("/moved", "/hook")

    statuses = [
        await fetcher.post(images.url(path), content=b"{}", headers={"Content-Type": "application/json"})
        for path in ("/hook", "/moved")
    ]

    assert statuses == [202, 302]
    assert [(asked.method, asked.body) for asked in images.requests] == [("POST", b"{}")] * 2


async def test_a_certificate_is_accepted_only_for_its_name(tmp_path: Path, fetcher_with: NewFetcher) -> None:
    certificate, key = self_signed("pictures.example")
    (tmp_path / "pem").write_bytes(certificate + key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "pem")
    images = ImageServer(port=0)
    images.serve("/a.jpg", b"picture")
    server = await asyncio.start_server(images.handle, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    trusted = ssl.create_default_context(cadata=certificate.decode())
    fetcher = fetcher_with(fetch_allow="127.0.0.1", parts={"resolve": resolve, "tls": trusted})
    untrusting = fetcher_with(fetch_allow="127.0.0.1", parts={"resolve": resolve})

    async with server:
        assert await body_of(fetcher, f"https://pictures.example:{port}/a.jpg") == b"picture"
        assert await failure_of(fetcher, f"https://other.example:{port}/a.jpg") == ("tls-failed", False)
        assert await failure_of(untrusting, f"https://pictures.example:{port}/a.jpg") == ("tls-failed", False)


async def test_failure_texts_contain_no_address_and_no_path(images: ImageServer, fetcher: Fetcher) -> None:
    with pytest.raises(FetchFailed) as failed:
        await body_of(fetcher, images.url("/secret?token=1"))

    assert str(failed.value) == "The host answered 404."


def self_signed(name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
