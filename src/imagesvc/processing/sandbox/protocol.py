"""The messages between worker and zygote: one JSON object a packet, with descriptors beside it."""

import array
import json
import socket
from typing import Any

from pydantic import BaseModel, ConfigDict

MAX_PACKET = 16 * 1024
MAX_DESCRIPTORS = 80


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Message):
    """Worker to zygote, with the descriptors [original, reply, outputs…]."""

    number: int
    slot: int
    """0 and up, unlike that of any other image being worked on: chooses the user id"""
    request: dict[str, Any]
    limits: dict[str, int | float]


class Stop(_Message):
    """Worker to zygote: nobody waits for this one any more."""

    stop: int


class Ready(_Message):
    """The zygote's first message: libraries are imported; what of the confinement this kernel and user allow."""

    ready: bool = True
    confinement: dict[str, bool]


class Ended(_Message):
    """Zygote to worker: a child is gone, and so is everything that it started."""

    number: int
    status: int
    """as waitpid gives it"""
    timed_out: bool
    cpu_seconds: float


def send(connection: socket.socket, message: BaseModel, descriptors: list[int] | None = None) -> None:
    data = message.model_dump_json().encode()
    if descriptors:
        rights = array.array("i", descriptors)
        connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    else:
        connection.send(data)


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """The decoded JSON and its descriptors; (None, []) when the other side has gone. Raises BlockingIOError."""
    size = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(MAX_PACKET, size, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)
