"""The HTTP connection to one service: which failures are retried, when, and for how long.

A request is retried when its answer was lost or asks for it, never before ``Retry-After`` has passed. Repeating an
upload is safe, since the service stores each content once. Retries end when there is no progress within the retry
timeout.
"""

import dataclasses
import datetime as dt
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import IO, Self, TypedDict, TypeVar, Unpack

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from imagesvc.client.credentials import Account, Credential
from imagesvc.client.errors import AccessDenied, Refused, ServerUnavailable
from imagesvc.client.models import Problem

T = TypeVar("T")

RETRYABLE_STATUSES = frozenset({408, 423, 429, 500, 502, 503, 504})
UNAVAILABLE_STATUSES = frozenset({423, 429, 502, 503, 504})
GONE = 410
DENIED_STATUSES = frozenset({401, 403, GONE})
MAX_FAILED_ATTEMPTS = 5
"""Limit for failures of a single request: 500, 408, an answer that breaks off each time."""
BACK_OFF = wait_random_exponential(multiplier=0.25, max=10)
FIRST_RETRY_TIMEOUT_SECONDS = 5.0
"""Applies until the service has answered once, so that a wrong address is reported soon."""
CONNECT_TIMEOUT_SECONDS = 10.0
STALL_TIMEOUT_SECONDS = 120.0
"""Long, because the service accepts 1 kB/s: what the kernel has buffered may take that long to arrive."""


class RequestBody(TypedDict, total=False):
    """What a request sends besides headers, by httpx's names."""

    params: Mapping[str, str | int]
    json: Mapping[str, object]
    data: Mapping[str, str]
    files: Mapping[str, tuple[str, IO[bytes], str]]
    content: bytes | AsyncIterator[bytes]


class RetryableError(Exception):
    """``is_unavailable``: the service cannot be reached or is busy; otherwise this request failed."""

    def __init__(
        self, problem: Problem, *, after_seconds: float = 0.0, is_unavailable: bool, is_immediate: bool = False
    ) -> None:
        super().__init__(problem.message)
        self.problem, self.after_seconds = problem, after_seconds
        self.is_unavailable, self.is_immediate = is_unavailable, is_immediate


@dataclasses.dataclass(slots=True, kw_only=True)
class RetryLimit:
    """Ends the retries of one operation when there is no progress within the timeout.

    The operation reports progress itself: a large file may take longer than the timeout.
    """

    timeout_seconds: float
    _failing_since: float | None = None
    _failures: int = 0

    def record_progress(self) -> None:
        self._failing_since, self._failures = None, 0

    def is_reached(self, state: RetryCallState) -> bool:
        assert state.outcome is not None  # noqa: S101 - tenacity calls this after an attempt
        failure = state.outcome.exception()
        now = time.monotonic()
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        if isinstance(failure, RetryableError) and not failure.is_unavailable and self._failures >= MAX_FAILED_ATTEMPTS:
            return True
        return now - self._failing_since > self.timeout_seconds or state.upcoming_sleep > self.timeout_seconds


class Transport:
    """Sends requests to one service. ``server`` is its root; raises ValueError when it is not an address."""

    def __init__(self, server: str, *, connections: int, retry_timeout_seconds: float) -> None:
        self.server = server_address(server)
        self.credential: Credential | None = None
        self._gone: Problem | None = None
        self._connections = connections
        self._retry_timeout_seconds = retry_timeout_seconds
        self._has_answered = False
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            base_url=self.server,
            timeout=httpx.Timeout(STALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            headers={"User-Agent": "imagesvc-client", "Accept": "application/json"},
            # loading the root certificates takes 40 ms and 8 MB
            verify=self.server.startswith("https://"),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._http is not None  # noqa: S101 - set by __aenter__
        await self._http.aclose()

    def retry_limit(self) -> RetryLimit:
        seconds = self._retry_timeout_seconds
        return RetryLimit(timeout_seconds=seconds if self._has_answered else min(seconds, FIRST_RETRY_TIMEOUT_SECONDS))

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_anonymous: bool = False,
        **body: Unpack[RequestBody],
    ) -> httpx.Response:
        """Send a request until it succeeds; the body must be one that can be sent again.

        Raises Refused, AccessDenied, ServerUnavailable.
        """
        return await self.retry(
            lambda: self.send_once(method, path, headers=headers, is_anonymous=is_anonymous, **body)
        )

    async def retry(self, attempt: Callable[[], Awaitable[T]], limit: RetryLimit | None = None) -> T:
        """Call ``attempt`` again while it raises RetryableError. Raises Refused or ServerUnavailable at the limit."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            wait=_pause_seconds,
            stop=(limit or self.retry_limit()).is_reached,
            reraise=True,
        )

        async def attempt_once() -> T:  # tenacity inspects the function: a lambda that returns a coroutine fails
            return await attempt()

        try:
            return await retrying(attempt_once)
        except RetryableError as failure:
            if failure.is_unavailable:
                raise ServerUnavailable(f"{self.server}: {failure}") from failure
            raise Refused(failure.problem) from failure

    async def send_once(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_anonymous: bool = False,
        may_be_gone: bool = False,
        **body: Unpack[RequestBody],
    ) -> httpx.Response:
        """Make one attempt. Raises RetryableError, Refused, AccessDenied.

        ``may_be_gone``: a 410 concerns this path only and does not stop later requests.
        """
        assert self._http is not None  # noqa: S101 - set by __aenter__
        sent_headers = dict(headers or {})
        if self.credential is not None and not is_anonymous:
            sent_headers |= await self.credential.headers()
        if self._gone is not None:
            raise AccessDenied(self._gone)
        try:
            response = await self._http.request(method, path, headers=sent_headers, **body)
        except httpx.TransportError as error:
            raise _connection_failure(error) from error
        self._has_answered = True
        if response.is_success:
            return response
        await self._raise_failure(response, sent_headers.get("Authorization"), may_be_gone=may_be_gone)
        raise Refused(Problem.from_response(response))

    async def _raise_failure(self, response: httpx.Response, bearer: str | None, *, may_be_gone: bool) -> None:
        """Raises RetryableError or AccessDenied where the refusal is one; returns where it is a plain one."""
        problem, status = Problem.from_response(response), response.status_code
        if status in RETRYABLE_STATUSES:
            raise RetryableError(
                problem, after_seconds=retry_after_seconds(response), is_unavailable=status in UNAVAILABLE_STATUSES
            )
        is_stale = problem.slug == "access-token-expired" and isinstance(self.credential, Account)
        if is_stale and self.credential is not None and await self.credential.renew(bearer):
            raise RetryableError(problem, is_unavailable=False, is_immediate=True)
        if status == GONE and may_be_gone and not problem.slug.startswith("link-"):
            return
        if status == GONE:
            self._gone = problem
        if status in DENIED_STATUSES:
            raise AccessDenied(problem)


def server_address(server: str) -> str:
    """The address without a trailing slash. Raises ValueError."""
    try:
        url = httpx.URL(server.strip())
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ValueError("this is not the address of a service; an address looks like https://images.example.org")
    return str(url.copy_with(query=None, fragment=None)).rstrip("/")


def retry_after_seconds(response: httpx.Response) -> float:
    """``Retry-After``, given in seconds or as a date (RFC 9110, section 10.2.3); 0 without a valid one."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _pause_seconds(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, RetryableError)  # noqa: S101 - nothing else is retried
    if failure.is_immediate:
        return 0.0
    back_off = BACK_OFF(state)
    # random time on top of Retry-After, so that clients do not all return at the same moment
    return max(back_off, failure.after_seconds + math.fmod(back_off, 0.5)) if failure.after_seconds else back_off


def _connection_failure(error: httpx.TransportError) -> RetryableError:
    is_connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    title = "cannot be reached" if is_connecting else "the connection broke"
    detail = str(error) or type(error).__name__
    return RetryableError(Problem(type="about:blank", title=title, detail=detail), is_unavailable=True)
