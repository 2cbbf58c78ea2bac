"""Sends requests without a body over HTTP at the lowest cost that Python allows. Runs as a program."""

import json
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bench.upload_client import receive


class Reader(threading.Thread):
    """Sends ``count`` requests over one connection; each response must have ``status``."""

    def __init__(self, url: str, *, headers: Mapping[str, str], status: int, count: int) -> None:
        super().__init__()
        target = urlsplit(url)
        self._address = (target.hostname or "", target.port or 80)
        lines = [f"GET {target.path} HTTP/1.1", f"Host: {target.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._status, self._count = status, count
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with socket.create_connection(self._address) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(self._count):
                    connection.sendall(self._request)
                    receive(connection, status=self._status)
        except Exception as error:
            self.error = error


def read(url: str, *, headers: Mapping[str, str], status: int, requests: int, in_flight: int) -> dict[str, Any]:
    """Send ``requests`` requests, ``in_flight`` at a time."""
    readers = [Reader(url, headers=headers, status=status, count=requests // in_flight) for _ in range(in_flight)]
    started = time.perf_counter()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    seconds = time.perf_counter() - started
    for reader in readers:
        if reader.error is not None:
            raise reader.error
    return {"requests": requests // in_flight * in_flight, "seconds": seconds}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(read(**json.loads(line))), flush=True)
