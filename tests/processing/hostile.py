"""What a hostile file could make a decoder do. The sandbox's children load this in tests."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable

REPLY, FIRST_OUTPUT = 4, 5
"""descriptors that a child has"""


def segfault(_: str) -> None:
    ctypes.string_at(0)


def abort(_: str) -> None:
    os.abort()


def loop(_: str) -> None:
    while True:
        pass


def sleep(_: str) -> None:
    time.sleep(600)


def stop(_: str) -> None:
    signal.raise_signal(signal.SIGSTOP)


def allocate(_: str) -> None:
    bytearray(10 * 1024**3)


def leave(_: str) -> None:
    os._exit(0)


def leave_badly(_: str) -> None:
    os._exit(7)


def fork(_: str) -> None:
    while True:
        os.fork()


def execute(_: str) -> None:
    os.execv("/bin/sh", ["sh", "-c", "true"])


def write_endlessly(_: str) -> None:
    while True:
        os.write(FIRST_OUTPUT, bytes(1024 * 1024))


def write_elsewhere(path: str) -> None:
    with open(path, "w") as file:
        file.write("escaped")


def read_elsewhere(path: str) -> None:
    with open(path) as file:
        raise RuntimeError(f"read: {file.read()}")


def connect(port: str) -> None:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
        connection.sendall(b"escaped")


def kill_zygote(_: str) -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def tell_environment(_: str) -> None:
    raise RuntimeError(f"environment: {sorted(os.environ)}")


def tell_descriptors(_: str) -> None:
    raise RuntimeError(f"descriptors: {[number for number in range(2048) if _is_open(number)]}")


def tell_user(_: str) -> None:
    raise RuntimeError(f"user: {os.getresuid()} {os.getgroups()}")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _reply(text: str) -> None:
    os.write(REPLY, text.encode())
    os._exit(0)


def reply_garbage(_: str) -> None:
    _reply("not JSON")


def reply_at_length(_: str) -> None:
    _reply('{"outcome": "rejected", "slug": "broken-image", "detail": "' + "x" * 100_000 + '"}')


def reply_nan(_: str) -> None:
    facts = (
        '{"media_type": "image/jpeg", "width": 1, "height": 1, "stored_width": 1, "stored_height": 1, "latitude": NaN}'
    )
    _reply('{"outcome": "processed", "facts": ' + facts + "}")


def reply_nul(_: str) -> None:
    facts = '{"media_type": "a\\u0000b", "width": 1, "height": 1, "stored_width": 1, "stored_height": 1}'
    _reply('{"outcome": "processed", "facts": ' + facts + "}")


def reply_without_files(_: str) -> None:
    facts = '{"media_type": "image/jpeg", "width": 1, "height": 1, "stored_width": 1, "stored_height": 1}'
    _reply('{"outcome": "processed", "facts": ' + facts + "}")


def reply_with_a_web_page(_: str) -> None:
    os.write(FIRST_OUTPUT, b"<script>alert(1)</script>")
    facts = '{"media_type": "image/jpeg", "width": 1, "height": 1, "stored_width": 1, "stored_height": 1}'
    _reply('{"outcome": "processed", "facts": ' + facts + ', "made": [{"index": 0, "width": 1, "height": 1}]}')


ROUTINES: dict[str, Callable[[str], None]] = {
    routine.__name__: routine
    for routine in (
        segfault,
        abort,
        loop,
        sleep,
        stop,
        allocate,
        leave,
        leave_badly,
        fork,
        execute,
        write_endlessly,
        write_elsewhere,
        read_elsewhere,
        connect,
        kill_zygote,
        tell_environment,
        tell_descriptors,
        tell_user,
        reply_garbage,
        reply_at_length,
        reply_nan,
        reply_nul,
        reply_without_files,
        reply_with_a_web_page,
    )
}


def before(head: bytes) -> None:
    """A file that begins ``do NAME ARGUMENT`` (and a line break) does it; any other is left to the real work."""
    if head.startswith(b"do "):
        _, name, argument = head.split(b"\n", 1)[0].decode().split(" ", 2)
        ROUTINES[name](argument)
