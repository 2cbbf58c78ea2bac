"""The messages between worker and zygote: one JSON object per packet, with file descriptors attached."""

import array
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from imagesvc.processing.contract import Reply, Resize, Work

MAX_PACKET = 16 * 1024
MAX_DESCRIPTORS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Worker to zygote, with the descriptors [original, reply, outputs…]."""

    number: int
    slot: int
    """from 0; no two images in progress have the same; selects the user id"""
    request: Work | Resize
    limits: dict[str, int | float]

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> "Start":
        request = message["request"]
        if request["kind"] == "resize":
            return cls(**{**message, "request": Resize(**request)})
        renditions = tuple((preset, format) for preset, format in request["renditions"])
        return cls(**{**message, "request": Work(**{**request, "renditions": renditions})})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Worker to zygote: end the child, because its result is no longer needed."""

    stop: int
    """the ``number`` of its ``Start``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The zygote's first message, after its imports.

    ``confinement`` states which measures this kernel and user allow.
    """

    ready: bool = True
    confinement: dict[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Zygote to worker: a child and all processes that it started have ended."""

    number: int
    status: int
    """as returned by waitpid"""
    timed_out: bool
    cpu_seconds: float


Message = Start | Stop | Ready | Ended


def encoded(message: Message | Reply) -> bytes:
    """One JSON object. Times are written in ISO 8601."""
    return json.dumps(asdict(message), default=datetime.isoformat).encode()


def send(connection: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
    data = encoded(message)
    if descriptors:
        rights = array.array("i", descriptors)
        connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    else:
        connection.send(data)


def receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The decoded JSON and its descriptors, or (None, []) if the other side closed. Raises BlockingIOError."""
    size = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(MAX_PACKET, size, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)
