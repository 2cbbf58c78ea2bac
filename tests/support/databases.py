"""New databases for tests: clones of a migrated template. The next clone is created while a test runs."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg

from imagesvc.settings import Settings
from tests.support.servers import Servers, only_one

T = TypeVar("T")

# copying whole files is the faster strategy when fsync is off
CLONE = 'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER "{owner}" STRATEGY FILE_COPY'


def template_name(run: Path) -> str:
    return f"template_{run.name[-8:]}"


def drop_template(run: Path) -> None:
    """Delete the template at the end of a run on an external server."""

    async def drop() -> None:
        connection = await asyncpg.connect(os.environ["IMAGESVC_TEST_DATABASE_URL"])
        await connection.execute(f'DROP DATABASE IF EXISTS "{template_name(run)}" WITH (FORCE)')
        await connection.close()

    if "IMAGESVC_TEST_DATABASE_URL" in os.environ and (run / "template-done").exists():
        asyncio.run(drop())


class Databases:
    """One superuser connection on a thread with its own event loop, so synchronous and async tests can use it."""

    def __init__(self, servers: Servers, settings: Settings) -> None:
        self._servers, self._settings = servers, settings
        self._created = 0
        self._next: Future[str] | None = None
        self._drops: list[Future[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._admin: asyncpg.Connection = self._submit(asyncpg.connect(self._servers.admin_url)).result()
        self._lock = asyncio.Lock()
        self.template = self._make_template()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._next is not None:
            self.drop(self._next.result())
        for dropping in self._drops:
            dropping.result()
        self._submit(self._admin.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fresh(self) -> str:
        """The name of an unused database with the newest schema."""
        ready = self._next or self._submit(self._clone())
        name = ready.result()
        self._next = self._submit(self._clone())
        return name

    def drop(self, name: str) -> None:
        """Delete the database in the background; open connections are terminated."""
        self._drops.append(self._submit(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')))

    def execute(self, sql: str) -> None:
        """Run one statement as the superuser."""
        self._submit(self._execute(sql)).result()

    def _make_template(self) -> str:
        """The name of the template, a database with all migrations; the first process of the run creates it."""
        # imported here, because the controlling process and tests of pure functions do not need it
        from imagesvc.schema_version import upgrade

        name = template_name(self._servers.run)
        done = self._servers.run / "template-done"
        with only_one(self._servers.run, "template"):
            if not done.exists():
                self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                self.execute(f'CREATE DATABASE "{name}" OWNER "{self._servers.role}"')
                template = Settings(**{**self._settings.model_dump(), "database_url": self._servers.database(name)})
                self._submit(upgrade(template)).result()
                done.touch()
        return name

    async def _clone(self) -> str:
        self._created += 1
        name = f"test_{self._servers.run.name[-8:]}_{os.getpid()}_{self._created}"
        await self._execute(CLONE.format(name=name, template=self.template, owner=self._servers.role))
        return name

    async def _execute(self, sql: str) -> None:
        async with self._lock:
            await self._admin.execute(sql)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
