"""GET a user-supplied URL as a stream, or POST to it, through the guarded network and within limits."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Self

import certifi
import httpcore

from imagesvc.fetching.addresses import AllowedTarget, OwnServers, Resolve
from imagesvc.fetching.errors import FetchFailed, FetchRefused
from imagesvc.fetching.limits import FetchTimer, HostLimiter
from imagesvc.fetching.network import GuardedNetwork, resolve_name
from imagesvc.fetching.urls import Target, parse_url
from imagesvc.settings import Settings

MAX_REDIRECTS = 3
REDIRECTS = {301, 302, 303, 307, 308}
MAX_VALIDATOR_LENGTH = 1024
KEEPALIVE_CONNECTIONS, KEEPALIVE_SECONDS = 16, 5.0
USER_AGENT = b"imagesvc"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A response whose body is still arriving. ``length`` is its Content-Length, None when the host sends none."""

    status: int
    etag: str | None
    last_modified: str | None
    length: int | None
    not_modified: bool
    chunks: AsyncIterator[bytes]
    """Raises FetchFailed when the body arrives too slowly, is too large, or ends before its length."""


class Fetcher:
    """The outbound connections of one process; ``async with`` closes them. Proxy variables are ignored.

    ``resolve`` and ``tls`` are for tests, which use their own names and certificates.
    """

    def __init__(
        self, settings: Settings, *, resolve: Resolve = resolve_name, tls: ssl.SSLContext | None = None
    ) -> None:
        allowed = [AllowedTarget.parse(entry) for entry in settings.fetch_allow]
        self._network = GuardedNetwork(allowed, OwnServers(settings, resolve), resolve)
        self._settings = settings
        self._hosts = HostLimiter(settings.fetch_per_host)
        self._tls = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._has_authorities = tls is not None
        self._authorities_lock = asyncio.Lock()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=None,
            max_keepalive_connections=KEEPALIVE_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._network,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._pool.aclose()

    @contextlib.asynccontextmanager
    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncGenerator[Fetched]:
        """The file behind the URL, after at most three redirects, each checked like the first URL.

        With a validator of an earlier response the result may be ``not_modified``, without a body.
        Raises FetchRefused, and FetchFailed for every status except 200, 203 and 304.
        """
        conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        headers = {"Accept": "image/*,*/*;q=0.5", **{name: value for name, value in conditions.items() if value}}
        target, timer = parse_url(url), FetchTimer(self._settings)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._hosts.slot(target.host), self._response(timer, "GET", target, headers) as response:
                location = _header(response, b"location")
                if response.status in REDIRECTS and location is not None:
                    target = target.follow(location)
                    continue
                async with contextlib.aclosing(self._chunks(timer, response)) as chunks:
                    yield self._fetched(response, chunks, is_conditional=len(headers) > 1)
                return
        raise FetchFailed("too-many-redirects", retryable=False)

    async def check(self, url: str) -> None:
        """Check the URL and the current addresses of its host without connecting. Raises like ``fetch``."""
        target = parse_url(url)
        await FetchTimer(self._settings).opening(self._network.addresses(target.host, target.port))

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        """The status of the response; its body is not read and redirects are not followed. Raises like ``fetch``."""
        target = parse_url(url)
        async with (
            self._hosts.slot(target.host),
            self._response(FetchTimer(self._settings), "POST", target, headers, content) as response,
        ):
            return response.status

    @contextlib.asynccontextmanager
    async def _response(
        self, timer: FetchTimer, method: str, target: Target, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncGenerator[httpcore.Response]:
        """Send one request without cookies or credentials, and wait for the response head. Raises as ``fetch`` does.

        It asks for no compression: a small compressed body could expand to any size.
        """
        header_lines = [(b"User-Agent", USER_AGENT), (b"Accept-Encoding", b"identity")]
        header_lines += [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        stream = self._pool.stream(
            method,
            httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path
            ),
            headers=header_lines,
            content=content,
            extensions={"timeout": {"connect": self._settings.fetch_connect_seconds}},
        )
        async with contextlib.AsyncExitStack() as stack:
            if target.scheme == "https":
                await self._load_authorities()
            with _mapped_errors():
                response = await timer.opening(stack.enter_async_context(stream))
            yield response

    async def _load_authorities(self) -> None:
        """Load the CA certificates once, on the first https request: it takes 30 ms or more."""
        async with self._authorities_lock:
            if not self._has_authorities:
                await asyncio.to_thread(self._tls.load_verify_locations, certifi.where())
                self._has_authorities = True

    def _fetched(self, response: httpcore.Response, chunks: AsyncIterator[bytes], *, is_conditional: bool) -> Fetched:
        not_modified = response.status == 304 and is_conditional
        if response.status not in (200, 203) and not not_modified:
            is_temporary = response.status in (408, 425, 429) or response.status >= 500
            raise FetchFailed(f"http-{response.status}", retryable=is_temporary)
        if (_header(response, b"content-encoding") or "identity").strip().lower() not in ("", "identity"):
            raise FetchFailed("encoded", retryable=False)
        stated = _header(response, b"content-length") or ""
        length = int(stated) if stated.isascii() and stated.isdigit() and not not_modified else None
        if length is not None and length > self._settings.max_file_bytes:
            raise FetchFailed("too-large", retryable=False)
        return Fetched(
            status=response.status,
            etag=_validator(response, b"etag"),
            last_modified=_validator(response, b"last-modified"),
            length=length,
            not_modified=not_modified,
            chunks=chunks,
        )

    async def _chunks(self, timer: FetchTimer, response: httpcore.Response) -> AsyncGenerator[bytes]:
        received = 0
        async with contextlib.aclosing(_stream(response)) as stream:
            while True:
                with _mapped_errors():
                    chunk = await timer.chunk(anext(stream, b""))
                if not chunk:
                    return
                received += len(chunk)
                if received > self._settings.max_file_bytes:
                    raise FetchFailed("too-large", retryable=False)
                yield chunk


async def _stream(response: httpcore.Response) -> AsyncGenerator[bytes]:
    async for chunk in response.aiter_stream():
        if chunk:
            yield chunk


def _header(response: httpcore.Response, name: bytes) -> str | None:
    for field, value in response.headers:
        if field.lower() == name:
            return value.decode("latin-1")
    return None


def _validator(response: httpcore.Response, name: bytes) -> str | None:
    value = _header(response, name)
    return value if value is not None and len(value) <= MAX_VALIDATOR_LENGTH else None


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except (FetchFailed, FetchRefused):
        raise
    except httpcore.ConnectError as error:
        if _is_caused_by_tls(error):
            raise FetchFailed("tls-failed", retryable=False) from error
        raise FetchFailed("not-reachable", retryable=True) from error
    except httpcore.ConnectTimeout as error:
        raise FetchFailed("not-reachable", retryable=True) from error
    except httpcore.TimeoutException as error:
        raise FetchFailed("timed-out", retryable=True) from error
    except httpcore.RemoteProtocolError as error:
        raise FetchFailed("bad-answer", retryable=True) from error
    except (httpcore.NetworkError, OSError) as error:
        raise FetchFailed("cut-off", retryable=True) from error


def _is_caused_by_tls(error: BaseException | None) -> bool:
    """Whether a TLS error is in the chain. httpcore clears ``__cause__`` but keeps ``__context__``."""
    return error is not None and (isinstance(error, ssl.SSLError) or _is_caused_by_tls(error.__context__))
