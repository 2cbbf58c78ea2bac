"""The servers of a run: those of `imagesvc up`, synced to disk as in production, in a temporary folder."""

import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.cli.supervisor import Supervisor
from imagesvc.embedded import DataFolder, EmbeddedServers
from imagesvc.schema_version import upgrade
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage
from tests.support.folders import make_open_folder
from tests.support.servers import with_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """``admin_url`` connects as the superuser. ``pids``: the processes `weed`, `valkey` and `postgres`."""

    folder: Path
    admin_url: str
    pids: Mapping[str, int]
    _addresses: dict[str, str]

    async def new_settings(self, name: str, *, is_migrated: bool = True, **changes: object) -> Settings:
        """Settings of a new database with the current schema and of a new bucket; ``changes`` override settings."""
        connection = await asyncpg.connect(self.admin_url)
        await connection.execute(f'CREATE DATABASE "{name}" OWNER imagesvc')
        await connection.close()
        values: dict[str, object] = {
            **self._addresses,
            "database_url": with_path(self._addresses["database_url"], f"/{name}"),
            "s3_bucket": f"bench-{name}",
            "secret_keys": f"k1:{secrets.token_hex(32)}",
            "admin_token": secrets.token_urlsafe(32),
        }
        settings = Settings.model_validate(values | changes)
        if is_migrated:
            await upgrade(settings)
        async with Storage(settings) as storage:
            await storage.ensure_bucket()
        return settings

    @property
    def postgres_log(self) -> Path:
        return self.folder / "data" / "logs" / "postgres.log"

    def admin_url_of(self, settings: Settings) -> str:
        """The URL of the same database for the superuser."""
        name = settings.database_url.get_secret_value().partition("?")[0].rpartition("/")[2]
        return with_path(self.admin_url, f"/{name}")


@contextlib.asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    folder = make_open_folder("imagesvc-bench-")
    try:
        with DataFolder(folder / "data") as data:
            embedded = EmbeddedServers(data)
            supervisor = Supervisor(ProcessRegistry(data.run / "processes.json"), print)
            try:
                await supervisor.start(await embedded.prepare())
                await embedded.create_database()
                assert embedded.postgres is not None
                environment = embedded.environment()
                yield Servers(
                    folder=folder,
                    admin_url=embedded.postgres.admin_url,
                    pids={name: supervisor.pid(name) for name in ("weed", "valkey", "postgres")},
                    _addresses={name.removeprefix("IMAGESVC_").lower(): value for name, value in environment.items()},
                )
            finally:
                await supervisor.stop(hurry=lambda: True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
