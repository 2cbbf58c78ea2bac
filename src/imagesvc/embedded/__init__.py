"""The local servers of `imagesvc up` and of the tests: PostgreSQL, Valkey and an S3 server, in one data folder.

This package creates folders, secrets, certificates and configuration, and describes each process (`ProcessSpec`).
`cli/supervisor.py` runs them as child processes, so no server turns into a daemon that outlives `up`.

    data_folder.py    the data folder (0700): lock, secrets (0600), logs, socket folders; rejects foreign folders
    postgres.py       PostgreSQL: Unix socket only, SCRAM, never as root
    valkey.py         Valkey: Unix socket only, password, no persistence (tasks are rows in PostgreSQL)
    seaweedfs.py      the S3 server: loopback; S3 signatures, JWT on the volume port, TLS client certificates on gRPC
    process_spec.py   how one process is started, checked and stopped
    readiness.py      whether an HTTP server is ready
    service_user.py   the account that PostgreSQL runs as under root, and the folders that it must be able to enter
    errors.py         EmbeddedError: what is wrong, and what to do about it

Process arguments never contain a secret: the servers read theirs from files in the data folder, our own processes from
their environment. A crash leaves stale sockets, pid files and orphans; the next start removes them.
"""

import asyncio
import secrets

from imagesvc.embedded.data_folder import DataFolder
from imagesvc.embedded.errors import EmbeddedError, FolderInUse
from imagesvc.embedded.postgres import Postgres
from imagesvc.embedded.process_spec import ProcessSpec
from imagesvc.embedded.seaweedfs import SeaweedFS
from imagesvc.embedded.service_user import ServiceUser
from imagesvc.embedded.valkey import Valkey

__all__ = [
    "DataFolder",
    "EmbeddedError",
    "EmbeddedServers",
    "FolderInUse",
    "Postgres",
    "ProcessSpec",
    "ServiceUser",
    "Valkey",
]

ALL_SERVERS = frozenset({"postgres", "valkey", "weed"})


class EmbeddedServers:
    """The ``wanted`` servers of the three, for so many API and worker ``processes``.

    ``throwaway`` trades durability for speed: for tests only.
    """

    def __init__(
        self,
        data: DataFolder,
        *,
        wanted: frozenset[str] = ALL_SERVERS,
        bucket: str = "imagesvc",
        throwaway: bool = False,
        processes: int = 2,
    ) -> None:
        def password(name: str) -> str:
            return data.get_or_create_secret(name, lambda: secrets.token_hex(32))

        self.bucket = bucket
        self._throwaway = throwaway
        self.postgres = (
            Postgres(
                folder=data.private_folder(data.path / "postgres", owner=data.service_user),
                sockets=data.socket_folder("postgres", owner=data.service_user),
                logs=data.logs,
                user=data.service_user,
                admin_password=password("postgres-admin"),
                password=password("postgres"),
                throwaway=throwaway,
                processes=processes,
            )
            if "postgres" in wanted
            else None
        )
        self.valkey = (
            Valkey(
                folder=data.private_folder(data.path / "valkey"),
                sockets=data.socket_folder("valkey", owner=None),
                logs=data.logs,
                password=password("valkey"),
                databases=64 if throwaway else 16,
            )
            if "valkey" in wanted
            else None
        )
        self.seaweedfs = (
            SeaweedFS(
                folder=data.private_folder(data.path / "weed"),
                logs=data.logs,
                access_key=data.get_or_create_secret("s3-access-key", lambda: secrets.token_hex(10)),
                secret_key=password("s3-secret-key"),
                signing_key=password("weed-signing-key"),
            )
            if "weed" in wanted
            else None
        )

    async def prepare(self) -> list[ProcessSpec]:
        """Create what the servers need to start, and describe their processes. Raises EmbeddedError."""
        servers = (self.postgres, self.valkey, self.seaweedfs)
        return list(await asyncio.gather(*(server.prepare() for server in servers if server is not None)))

    async def create_database(self) -> None:
        """Create the role and the database of the service. The servers must be running."""
        if self.postgres is not None:
            await self.postgres.create_database()

    def environment(self) -> dict[str, str]:
        """The settings that connect the service to these servers. Most of the values contain a secret."""
        named: dict[str, str] = {}
        if self.postgres is not None:
            named["IMAGESVC_DATABASE_URL"] = self.postgres.url
        if self.valkey is not None:
            named["IMAGESVC_REDIS_URL"] = self.valkey.url
        if self.seaweedfs is not None:
            named["IMAGESVC_S3_ENDPOINT"] = self.seaweedfs.endpoint
            named["IMAGESVC_S3_ACCESS_KEY"] = self.seaweedfs.access_key
            named["IMAGESVC_S3_SECRET_KEY"] = self.seaweedfs.secret_key
            named["IMAGESVC_S3_BUCKET"] = self.bucket
            named["IMAGESVC_S3_REGION"] = "us-east-1"
            if not self._throwaway:
                named["IMAGESVC_S3_SYNC_FOLDER"] = str(self.seaweedfs.folder)
        return named
