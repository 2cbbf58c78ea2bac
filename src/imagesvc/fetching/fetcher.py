"""GET a stranger's URL as a stream, or POST to it: through the guarded network, within limits, trusting no answer."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Self

import certifi
import httpcore

from imagesvc.fetching.addresses import Allowed, OwnServers, Resolve
from imagesvc.fetching.errors import FetchFailed, FetchRefused
from imagesvc.fetching.limits import Pace, Places
from imagesvc.fetching.network import GuardedNetwork, resolve_name
from imagesvc.fetching.urls import Target, parse_url
from imagesvc.settings import Settings

MAX_REDIRECTS = 3
REDIRECTS = {301, 302, 303, 307, 308}
MOST_VALIDATOR_LENGTH = 1024
KEEP_CONNECTIONS, KEEP_SECONDS = 16, 5.0
AGENT = b"imagesvc"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer whose body is still on its way. ``length`` is what the host says, None when it does not."""

    status: int
    etag: str | None
    last_modified: str | None
    length: int | None
    not_modified: bool
    chunks: AsyncIterator[bytes]
    """Raises FetchFailed when it comes too slowly, is too large, or ends before its length."""


class Fetcher:
    """One process's outbound connections; ``async with`` opens and closes them. Nothing of the environment counts.

    ``resolve`` and ``tls`` are for tests, which have names and certificates of their own.
    """

    def __init__(
        self, settings: Settings, *, resolve: Resolve = resolve_name, tls: ssl.SSLContext | None = None
    ) -> None:
        allowed = [Allowed.parse(entry) for entry in settings.fetch_allow]
        self._network = GuardedNetwork(allowed, OwnServers(settings, resolve), resolve)
        self._settings = settings
        self._places = Places(settings.fetch_per_host)
        self._tls = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._knows_authorities = tls is not None
        self._reading = asyncio.Lock()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=None,
            max_keepalive_connections=KEEP_CONNECTIONS,
            keepalive_expiry=KEEP_SECONDS,
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
        """The file behind the URL, after at most three redirects, each judged like the first URL.

        With a validator of an earlier answer, ``not_modified`` may come, without a body. Raises FetchRefused, and
        FetchFailed for every status but 200, 203 and 304.
        """
        conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        headers = {"Accept": "image/*,*/*;q=0.5", **{name: said for name, said in conditions.items() if said}}
        target, pace = parse_url(url), Pace(self._settings)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._places.at(target.host), self._asked(pace, "GET", target, headers) as answer:
                location = _header(answer, b"location")
                if answer.status in REDIRECTS and location is not None:
                    target = target.follow(location)
                    continue
                async with contextlib.aclosing(self._chunks(pace, answer)) as chunks:
                    yield self._fetched(answer, chunks, is_conditional=len(headers) > 1)
                return
        raise FetchFailed("too-many-redirects", retryable=False)

    async def judge(self, url: str) -> None:
        """Whether it may be asked for, as far as its name tells now. Raises as ``fetch`` does."""
        target = parse_url(url)
        await Pace(self._settings).opening(self._network.addresses(target.host, target.port))

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, whose body nobody reads; redirects are not followed. Raises as ``fetch`` does."""
        target = parse_url(url)
        async with (
            self._places.at(target.host),
            self._asked(Pace(self._settings), "POST", target, headers, content) as answer,
        ):
            return answer.status

    @contextlib.asynccontextmanager
    async def _asked(
        self, pace: Pace, method: str, target: Target, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncGenerator[httpcore.Response]:
        """No cookies, no credentials, and nothing compressed: a small answer stays small."""
        sent = [(b"User-Agent", AGENT), (b"Accept-Encoding", b"identity")]
        sent += [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        asking = self._pool.stream(
            method,
            httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path
            ),
            headers=sent,
            content=content,
            extensions={"timeout": {"connect": self._settings.fetch_connect_seconds}},
        )
        async with contextlib.AsyncExitStack() as stack:
            if target.scheme == "https":
                await self._read_authorities()
            with _faults():
                answer = await pace.opening(stack.enter_async_context(asking))
            yield answer

    async def _read_authorities(self) -> None:
        """Once, when they are first needed: it takes 30 ms and more."""
        async with self._reading:
            if not self._knows_authorities:
                await asyncio.to_thread(self._tls.load_verify_locations, certifi.where())
                self._knows_authorities = True

    def _fetched(self, answer: httpcore.Response, chunks: AsyncIterator[bytes], *, is_conditional: bool) -> Fetched:
        not_modified = answer.status == 304 and is_conditional
        if answer.status not in (200, 203) and not not_modified:
            is_passing = answer.status in (408, 425, 429) or answer.status >= 500
            raise FetchFailed(f"http-{answer.status}", retryable=is_passing)
        if (_header(answer, b"content-encoding") or "identity").strip().lower() not in ("", "identity"):
            raise FetchFailed("encoded", retryable=False)
        said = _header(answer, b"content-length") or ""
        length = int(said) if said.isascii() and said.isdigit() and not not_modified else None
        if length is not None and length > self._settings.max_file_bytes:
            raise FetchFailed("too-large", retryable=False)
        return Fetched(
            status=answer.status,
            etag=_validator(answer, b"etag"),
            last_modified=_validator(answer, b"last-modified"),
            length=length,
            not_modified=not_modified,
            chunks=chunks,
        )

    async def _chunks(self, pace: Pace, answer: httpcore.Response) -> AsyncGenerator[bytes]:
        received = 0
        async with contextlib.aclosing(_stream(answer)) as stream:
            while True:
                with _faults():
                    chunk = await pace.chunk(anext(stream, b""))
                if not chunk:
                    return
                received += len(chunk)
                if received > self._settings.max_file_bytes:
                    raise FetchFailed("too-large", retryable=False)
                yield chunk


async def _stream(answer: httpcore.Response) -> AsyncGenerator[bytes]:
    async for chunk in answer.aiter_stream():
        if chunk:
            yield chunk


def _header(answer: httpcore.Response, name: bytes) -> str | None:
    for found, value in answer.headers:
        if found.lower() == name:
            return value.decode("latin-1")
    return None


def _validator(answer: httpcore.Response, name: bytes) -> str | None:
    value = _header(answer, name)
    return value if value is not None and len(value) <= MOST_VALIDATOR_LENGTH else None


@contextlib.contextmanager
def _faults() -> Iterator[None]:
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
    """httpcore cuts the chain of causes; the context stays."""
    return error is not None and (isinstance(error, ssl.SSLError) or _is_caused_by_tls(error.__context__))
