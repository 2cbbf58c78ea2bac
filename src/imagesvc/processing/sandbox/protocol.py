"""The messages between worker and zygote: one JSON object per packet, with file descriptors attached."""

import array
import json
import socket

from pydantic import BaseModel, ConfigDict, JsonValue

from imagesvc.processing.contract import Request

MAX_PACKET = 16 * 1024
MAX_DESCRIPTORS = 80


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Message):
    """Worker to zygote, with the descriptors [original, reply, outputs…]."""

    number: int
    slot: int
    """from 0; no two images in progress have the same; selects the user id"""
    request: Request
    limits: dict[str, int | float]


class Stop(_Message):
    """Worker to zygote: end the child, because its result is no longer needed."""

    stop: int
    """the ``number`` of its ``Start``"""


class Ready(_Message):
    """The zygote's first message, after its imports.

    ``confinement`` states which measures this kernel and user allow.
    """

    ready: bool = True
    confinement: dict[str, bool]


class Ended(_Message):
    """Zygote to worker: a child and all processes that it started have ended."""

    number: int
    status: int
    """as returned by waitpid"""
    timed_out: bool
    cpu_seconds: float


def send(connection: socket.socket, message: BaseModel, descriptors: list[int] | None = None) -> None:
    data = message.model_dump_json().encode()
    if descriptors:
        rights = array.array("i", descriptors)
        connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    else:
        connection.send(data)


def receive(connection: socket.socket) -> tuple[dict[str, JsonValue] | None, list[int]]:
    """The decoded JSON and its descriptors, or (None, []) if the other side closed. Raises BlockingIOError."""
    size = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(MAX_PACKET, size, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)
