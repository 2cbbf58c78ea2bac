"""Sends files over HTTP at the lowest cost that Python allows, so that the server is measured. Runs as a program.

Each connection has a thread and a blocking socket: a file takes two system calls, which release the interpreter lock.
"""

import json
import socket
import statistics
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from bench.generated_files import GeneratedFiles

OFFSET_STREAM = "application/offset+octet-stream"
BOUNDARY = b"a-boundary-of-the-benchmark"


class Sender(threading.Thread):
    """Sends ``count`` files one after the other over one connection; each response must be 201.

    ``url`` is that of a link. ``way``: `raw` (PUT), `form` (multipart), `tus` (creation with all bytes) or `patch`
    (tus: creation, then one PATCH).
    """

    def __init__(self, url: str, *, size: int, count: int, way: str) -> None:
        super().__init__()
        self._url = urlsplit(url)
        self._files, self._count, self._way = GeneratedFiles(size), count, way
        self._size = size
        self.seconds: list[float] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with socket.create_connection((self._url.hostname or "", self._url.port or 80)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for number in range(self._count):
                    started = time.perf_counter()
                    path = self._create(connection) if self._way == "patch" else ""
                    self._send(connection, number, path)
                    receive(connection, status=204 if self._way == "patch" else 201)
                    self.seconds.append(time.perf_counter() - started)
        except Exception as error:
            self.error = error

    def _create(self, connection: socket.socket) -> str:
        """The path of a new tus upload."""
        connection.sendall(
            f"POST {self._url.path}/tus HTTP/1.1\r\nHost: {self._url.netloc}\r\nTus-Resumable: 1.0.0\r\n"
            f"Upload-Length: {self._size}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        head = receive(connection, status=201)
        at = head.lower().index(b"location: ") + len(b"location: ")
        return head[at:].split(b"\r\n")[0].decode()

    def _send(self, connection: socket.socket, number: int, upload_path: str) -> None:
        before = after = b""
        method, path, headers = "PUT", f"{self._url.path}/{number}.jpg", ""
        if self._way == "tus":
            method, path = "POST", f"{self._url.path}/tus"
            headers = f"Tus-Resumable: 1.0.0\r\nUpload-Length: {self._size}\r\nContent-Type: {OFFSET_STREAM}\r\n"
        if self._way == "patch":
            method, path = "PATCH", upload_path
            headers = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: {OFFSET_STREAM}\r\n"
        if self._way == "form":
            method, path = "POST", self._url.path
            headers = f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n"
            before = b"--%b\r\nContent-Disposition: form-data; name=file; filename=%d.jpg\r\n\r\n" % (BOUNDARY, number)
            after = b"\r\n--%b--\r\n" % BOUNDARY
        length = len(before) + self._size + len(after)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nContent-Length: {length}\r\n{headers}\r\n"
        pieces = [memoryview(piece) for piece in (head.encode() + before, self._files.next(), after) if piece]
        while pieces:
            sent = connection.sendmsg(pieces)
            while pieces and sent >= len(pieces[0]):
                sent -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][sent:]


def receive(connection: socket.socket, *, status: int) -> bytes:
    """Read one complete response, and return its head. Raises RuntimeError when its status is not ``status``."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive_some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"content-length:")
    missing = int(rest.split(b"\r\n")[0] or 0) - len(body) if status not in (204, 304) else 0
    while missing > 0:
        missing -= len(_receive_some(connection))
    if int(head.split(b" ", 2)[1]) != status:
        raise RuntimeError(f"unexpected response: {head!r} {body!r}")
    return head


def _receive_some(connection: socket.socket) -> bytes:
    if not (data := connection.recv(262144)):
        raise ConnectionError("the server closed the connection")
    return data


def send(url: str, *, size: int, files: int, in_flight: int, way: str = "raw") -> dict[str, Any]:
    """Send ``files`` files of ``size`` bytes, ``in_flight`` at a time."""
    senders = [Sender(url, size=size, count=files // in_flight, way=way) for _ in range(in_flight)]
    cpu, started = time.process_time(), time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    wall, used = time.perf_counter() - started, time.process_time() - cpu
    for sender in senders:
        if sender.error is not None:
            raise sender.error
    durations = sorted(seconds for sender in senders for seconds in sender.seconds)
    return {
        "files": len(durations),
        "seconds": wall,
        "cpu_seconds": used,
        "median_seconds": statistics.median(durations),
        "p99_seconds": durations[int(len(durations) * 0.99)],
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(send(**json.loads(line))), flush=True)
