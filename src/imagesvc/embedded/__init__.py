"""The local servers of `imagesvc up` and of the tests: PostgreSQL, Valkey and an S3 server, in one data folder.

This room makes the folders, secrets, certificates and configuration, and says how each server is run (a `Part`);
`cli/supervisor.py` runs them, so that no server daemonises and outlives us.

    data folder 0700     folder.py: lock, secrets (0600), logs; refuses a folder that is not ours
    PostgreSQL           postgres.py: a Unix socket only, SCRAM, never as root
    Valkey               valkey.py: a Unix socket only, password, no persistence (tasks are rows in PostgreSQL)
    SeaweedFS            weed.py: loopback; S3 signatures, JWT on the volume port, TLS client certificates on gRPC

No secret is ever in a process's arguments: servers read theirs from files in the data folder, our own processes from
their environment. What a crash leaves: stale sockets, pid files and orphans, all dealt with by the next start.
"""

import asyncio
import secrets

from imagesvc.embedded.data_folder import DataFolder, FolderInUse
from imagesvc.embedded.postgres import Postgres
from imagesvc.embedded.process_spec import EmbeddedError, Part, ServiceUser
from imagesvc.embedded.seaweedfs import Weed
from imagesvc.embedded.valkey import Valkey

__all__ = ["DataFolder", "EmbeddedError", "EmbeddedServers", "FolderInUse", "Part", "Postgres", "ServiceUser", "Valkey"]

ALL = frozenset({"postgres", "valkey", "weed"})


class EmbeddedServers:
    """Those of the three servers that are wanted. ``throwaway`` trades durability for speed: for tests only."""

    def __init__(
        self, data: DataFolder, *, wanted: frozenset[str] = ALL, bucket: str = "imagesvc", throwaway: bool = False
    ) -> None:
        def password(name: str) -> str:
            return data.keep(name, lambda: secrets.token_hex(32))

        self.bucket = bucket
        self.postgres = (
            Postgres(
                folder=data.own_folder(data.path / "postgres", owner=data.service_user),
                sockets=data.socket_folder("postgres", owner=data.service_user),
                logs=data.logs,
                user=data.service_user,
                admin_password=password("postgres-admin"),
                password=password("postgres"),
                throwaway=throwaway,
            )
            if "postgres" in wanted
            else None
        )
        self.valkey = (
            Valkey(
                folder=data.own_folder(data.path / "valkey"),
                sockets=data.socket_folder("valkey", owner=None),
                logs=data.logs,
                password=password("valkey"),
                databases=64 if throwaway else 16,
            )
            if "valkey" in wanted
            else None
        )
        self.weed = (
            Weed(
                folder=data.own_folder(data.path / "weed"),
                logs=data.logs,
                access_key=data.keep("s3-access-key", lambda: secrets.token_hex(10)),
                secret_key=password("s3-secret-key"),
                signing_key=password("weed-signing-key"),
            )
            if "weed" in wanted
            else None
        )

    async def prepare(self) -> list[Part]:
        """Make what the wanted servers need to start. Raises EmbeddedError, with what to do about it."""
        servers = (self.postgres, self.valkey, self.weed)
        return list(await asyncio.gather(*(server.prepare() for server in servers if server is not None)))

    async def settle(self) -> None:
        """Once they run: make the role and the database that the service uses."""
        if self.postgres is not None:
            await self.postgres.settle()

    def environment(self) -> dict[str, str]:
        """The settings that name these servers; each holds a secret."""
        named: dict[str, str] = {}
        if self.postgres is not None:
            named["IMAGESVC_DATABASE_URL"] = self.postgres.url
        if self.valkey is not None:
            named["IMAGESVC_REDIS_URL"] = self.valkey.url
        if self.weed is not None:
            named["IMAGESVC_S3_ENDPOINT"] = self.weed.endpoint
            named["IMAGESVC_S3_ACCESS_KEY"] = self.weed.access_key
            named["IMAGESVC_S3_SECRET_KEY"] = self.weed.secret_key
            named["IMAGESVC_S3_BUCKET"] = self.bucket
            named["IMAGESVC_S3_REGION"] = "us-east-1"
        return named
