"""Delivers an answer that is sent before the request body was read.

If a server closes a connection with unread input, the kernel sends a reset, and the reset can overtake the answer: a
client that is still sending sees "connection reset" instead of, for example, 410. This middleware sends the whole
answer with ``Connection: close`` and a length, then reads and discards input up to a limit, then closes the connection.

A small body is read to its end instead, and the connection stays open. With ``Expect: 100-continue`` and no body
requested yet, the client has most likely sent nothing, so the middleware waits only briefly for input.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024


class EarlyResponse:
    """The middleware. It must be the outermost one. Requests without a body pass unchanged."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int = 16 * MIB,
        max_seconds: float = 3.0,
        small_bytes: int = 64 * 1024,
        expect_seconds: float = 0.25,
    ) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self.small_bytes = small_bytes
        self.expect_seconds = expect_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length, expects_continue = 0, False
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                length = int(value[:20])
            elif name == b"transfer-encoding":
                length = self.max_bytes  # unknown, so treated as large
            elif name == b"expect":
                expects_continue = value.lower() == b"100-continue"
        if length == 0:
            await self.app(scope, receive, send)
            return
        stays_open = length <= self.small_bytes and not expects_continue
        exchange = _Exchange(
            self, scope["method"], receive, send, stays_open=stays_open, expects_continue=expects_continue
        )
        await self.app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer. An answer is early if it begins before the body was read to its end."""

    __slots__ = (
        "_expects_continue",
        "_held",
        "_is_early",
        "_is_read",
        "_method",
        "_receive",
        "_rules",
        "_send",
        "_stays_open",
    )

    def __init__(
        self,
        rules: EarlyResponse,
        method: str,
        receive: Receive,
        send: Send,
        *,
        stays_open: bool,
        expects_continue: bool,
    ) -> None:
        self._rules = rules
        self._method = method
        self._receive, self._send = receive, send
        self._stays_open = stays_open
        self._expects_continue = expects_continue  # and no part of the body was requested
        self._is_read = self._is_early = False
        self._held: Message | None = None

    async def receive(self) -> Message:
        self._expects_continue = False
        return await self._take()

    async def _take(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._is_read:
            self._held, self._is_early = message, True  # until the first part of the answer shows its length
            return
        if self._held is not None:
            start, self._held = self._held, None
            await self._send(self._completed(start, first=message))
        if not self._is_early or self._is_read or message.get("more_body", False):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._discard_input()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _completed(self, start: Message, *, first: Message) -> Message:
        headers = list(start.get("headers", ()))
        names = {name.lower() for name, _ in headers}
        is_whole = not first.get("more_body", False)
        has_body = self._method != "HEAD" and start["status"] not in (204, 304)
        if is_whole and has_body and not names & {b"content-length", b"transfer-encoding"}:
            # Without a length the client would wait for the connection to close.
            headers.append((b"content-length", str(len(first.get("body", b""))).encode()))
        if not self._is_read and not self._stays_open and b"connection" not in names:
            headers.append((b"connection", b"close"))
        return {**start, "headers": headers}

    async def _discard_input(self) -> None:
        left = self._rules.max_bytes
        try:
            async with asyncio.timeout(self._rules.max_seconds):
                if self._expects_continue:
                    # Some clients send the body after a while without 100 Continue.
                    async with asyncio.timeout(self._rules.expect_seconds):
                        left -= len((await self._take()).get("body", b""))
                while left > 0 and not self._is_read:
                    left -= len((await self._take()).get("body", b""))
        except TimeoutError:
            pass
