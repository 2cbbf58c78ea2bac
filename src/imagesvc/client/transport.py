"""The connection to one service: what is tried again, when, and for how long; ``Retry-After`` is never undercut.

A request is tried again when the answer was lost or asks for it; every upload may be repeated, since the service keeps
each content once. Trying ends when nothing has gone forward for as long as patience lasts.
"""

import dataclasses
import datetime as dt
import math
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from imagesvc.client.credentials import Account, Credential
from imagesvc.client.errors import DoorClosed, Refused, ServerAway
from imagesvc.client.models import Problem

T = TypeVar("T")

TRY_AGAIN = frozenset({408, 423, 429, 500, 502, 503, 504})
BUSY_OR_AWAY = frozenset({423, 429, 502, 503, 504})
GONE = 410
CLOSED = frozenset({401, 403, GONE})
MOST_ATTEMPTS_ON_ERRORS = 5
"""On what the service says went wrong with just this request: 500, 408, an answer that is cut off again and again."""
BACK_OFF = wait_random_exponential(multiplier=0.25, max=10)
FIRST_PATIENCE_SECONDS = 5.0
"""Until the first answer: a wrong address should be told soon."""
CONNECT_SECONDS = 10.0
STALL_SECONDS = 120.0
"""The service allows a slow line 1 kB/s: what the kernel has taken may be on its way for long before it answers."""


class TryAgain(Exception):
    """``is_away``: the service cannot be reached or has no time; otherwise this very request failed."""

    def __init__(self, why: Problem, *, after_seconds: float = 0.0, is_away: bool, at_once: bool = False) -> None:
        super().__init__(why.told)
        self.why, self.after_seconds, self.is_away, self.at_once = why, after_seconds, is_away, at_once


@dataclasses.dataclass(slots=True, kw_only=True)
class Patience:
    """Of one undertaking. ``went_forward`` by whoever sees that it does: a file may take longer than patience lasts."""

    seconds: float
    _failing_since: float | None = None
    _failures: int = 0

    def went_forward(self) -> None:
        self._failing_since, self._failures = None, 0

    def is_over(self, state: RetryCallState) -> bool:
        assert state.outcome is not None  # noqa: S101 - tenacity asks after an attempt
        failure = state.outcome.exception()
        now = time.monotonic()
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        if isinstance(failure, TryAgain) and not failure.is_away and self._failures >= MOST_ATTEMPTS_ON_ERRORS:
            return True
        return now - self._failing_since > self.seconds or state.upcoming_sleep > self.seconds


class Line:
    """``server`` is the service's root; ValueError when it is no address. Nothing is built before it is entered."""

    def __init__(self, server: str, *, connections: int, patience_seconds: float) -> None:
        self.server = server_address(server)
        self.credential: Credential | None = None
        self.gone: Problem | None = None
        self._connections = connections
        self._patience_seconds = patience_seconds
        self._has_answered = False
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            base_url=self.server,
            timeout=httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            headers={"User-Agent": "imagesvc-client", "Accept": "application/json"},
            # the world's certificates take 40 ms and 8 MB to read
            verify=self.server.startswith("https://"),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._http is not None  # noqa: S101 - it was entered
        await self._http.aclose()

    def patience(self) -> Patience:
        seconds = self._patience_seconds
        return Patience(seconds=seconds if self._has_answered else min(seconds, FIRST_PATIENCE_SECONDS))

    async def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """The answer, which is a success. Raises Refused, DoorClosed, ServerAway. ``sent`` must be sendable again."""
        return await self.persistently(lambda: self.once(method, path, **sent))

    async def persistently(self, attempt: Callable[[], Awaitable[T]], patience: Patience | None = None) -> T:
        """What ``attempt`` returns; tried again while it raises TryAgain. Raises Refused, ServerAway in its place."""
        trying = AsyncRetrying(
            retry=retry_if_exception_type(TryAgain),
            wait=_pause,
            stop=(patience or self.patience()).is_over,
            reraise=True,
        )

        async def one() -> T:  # tenacity looks at the function, not at what it returns
            return await attempt()

        try:
            return await trying(one)
        except TryAgain as failure:
            if failure.is_away:
                raise ServerAway(f"{self.server}: {failure}") from failure
            raise Refused(failure.why) from failure

    async def once(
        self, method: str, path: str, *, is_anonymous: bool = False, may_be_gone: bool = False, **sent: Any
    ) -> httpx.Response:
        """One attempt. Raises TryAgain beside what ``request`` raises.

        ``may_be_gone``: this path is that of one thing, whose end (410) says nothing of the others.
        """
        assert self._http is not None  # noqa: S101 - it was entered
        headers = sent.pop("headers", {})
        if self.credential is not None and not is_anonymous:
            headers = headers | await self.credential.headers()
        if self.gone is not None:
            raise DoorClosed(self.gone)
        try:
            answer = await self._http.request(method, path, headers=headers, **sent)
        except httpx.TransportError as error:
            raise _away(error) from error
        self._has_answered = True
        if answer.is_success:
            return answer
        await self._judge(answer, headers.get("Authorization"), may_be_gone=may_be_gone)
        raise Refused(Problem.of_answer(answer))

    async def _judge(self, answer: httpx.Response, bearer: str | None, *, may_be_gone: bool) -> None:
        """Raises what a refusal means beyond itself."""
        problem, status = Problem.of_answer(answer), answer.status_code
        if status in TRY_AGAIN:
            raise TryAgain(problem, after_seconds=retry_after_seconds(answer), is_away=status in BUSY_OR_AWAY)
        is_stale = problem.slug == "access-token-expired" and isinstance(self.credential, Account)
        if is_stale and self.credential is not None and await self.credential.renew(bearer):
            raise TryAgain(problem, is_away=False, at_once=True)
        if status == GONE and may_be_gone and not problem.slug.startswith("link-"):
            return
        if status == GONE:
            self.gone = problem
        if status in CLOSED:
            raise DoorClosed(problem)


def server_address(server: str) -> str:
    """Without a slash at its end. Raises ValueError."""
    try:
        url = httpx.URL(server.strip())
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ValueError("this is no address of a service: it looks like https://images.example.org")
    return str(url.copy_with(query=None, fragment=None)).rstrip("/")


def retry_after_seconds(answer: httpx.Response) -> float:
    """What ``Retry-After`` says, as seconds or as a date (RFC 9110, section 10.2.3); 0 without a sane one."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _pause(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, TryAgain)  # noqa: S101 - nothing else is tried again
    if failure.at_once:
        return 0.0
    back_off = BACK_OFF(state)
    # spread over some time after what was asked for: not all of us at the same moment
    return max(back_off, failure.after_seconds + math.fmod(back_off, 0.5)) if failure.after_seconds else back_off


def _away(error: httpx.TransportError) -> TryAgain:
    told = str(error) or type(error).__name__
    title = "cannot be reached" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "broke off"
    return TryAgain(Problem(type="about:blank", title=title, detail=told), is_away=True)
