"""Plain database connections for single statements: kept open, bounded in number, the one used last first.

A general pool resets what it gets back, wraps what it hands out and shields both from cancellation, which costs twice
what a statement costs (docs/performance.md). Here nobody keeps a connection beyond one statement, and one on which a
statement was cut off is thrown away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

LONGEST_IDLE_SECONDS = 300.0
"""What rested longer may have been forgotten by something on the way to the server."""


class AllBusy(Exception):
    """Every connection was in use for the whole time that one may wait."""


class Connections:
    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], *, most: int, wait_seconds: float) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._resting: list[tuple[asyncpg.Connection, float]] = []
        # a waiter gets a connection, or None: the right to open one
        self._waiting: deque[asyncio.Future[asyncpg.Connection | None]] = deque()
        self._left = most
        self._is_closed = False

    async def fetch_row(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        """The first row of one statement, committed by itself. Raises asyncpg's errors, ``connect``'s, and AllBusy."""
        connection = self._rested() or await self._another()
        try:
            row = await connection.fetchrow(sql, *arguments)
        except (asyncpg.PostgresError, asyncpg.DataError):
            self._give_back(connection)
            raise
        except BaseException:
            # cut off in the middle: the statement may still run, and its answer may still come
            connection.terminate()
            self._give_back(connection)
            raise
        self._give_back(connection)
        return row

    async def close(self) -> None:
        """Close what rests; what is in use is closed when its statement ends."""
        self._is_closed = True
        resting, self._resting = self._resting, []
        await asyncio.gather(*(connection.close(timeout=1) for connection, _ in resting), return_exceptions=True)

    def _rested(self) -> asyncpg.Connection | None:
        while self._resting:
            connection, since = self._resting.pop()
            if not connection.is_closed():
                if asyncio.get_running_loop().time() - since < LONGEST_IDLE_SECONDS:
                    return connection
                connection.terminate()
            self._left += 1
        return None

    async def _another(self) -> asyncpg.Connection:
        if self._left:
            self._left -= 1
            return await self._opened()
        turn: asyncio.Future[asyncpg.Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                connection = await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give_back(turn.result())  # served and given up in the same moment
            if isinstance(error, TimeoutError):
                raise AllBusy from error
            raise
        return connection or await self._opened()

    async def _opened(self) -> asyncpg.Connection:
        try:
            return await self._connect()
        except BaseException:
            self._give_back(None)
            raise

    def _give_back(self, connection: asyncpg.Connection | None) -> None:
        """To who waits longest, or to rest. A closed one leaves the right to open another."""
        if connection is not None and self._is_closed:
            connection.terminate()
        if connection is not None and connection.is_closed():
            connection = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is None:
            self._left += 1
        else:
            self._resting.append((connection, asyncio.get_running_loop().time()))
