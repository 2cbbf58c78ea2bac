"""The files of one image. The worker opens them, the child writes them by descriptor, and the worker validates them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from imagesvc.processing.contract import (
    MAX_REPLY_BYTES,
    MEDIA_TYPE_OF_FORMAT,
    REPLY,
    Failed,
    FailedReply,
    Outcome,
    Processed,
    ProcessedReply,
    Rejected,
    RejectedReply,
    RenditionFile,
    Resize,
    Work,
    output_names,
)
from imagesvc.processing.limits import Limits
from imagesvc.processing.sniff import SNIFF_BYTES, sniff

_REPLY = "reply.json"


@dataclass(frozen=True, slots=True)
class ImageFiles:
    folder: Path
    names: list[str]
    descriptors: list[int]
    """original, reply, outputs"""
    wants_facts: bool

    @classmethod
    @contextmanager
    def open(cls, folder: Path, original: str, request: Work | Resize) -> Iterator[Self]:
        """Output files are created anew, so that a result of an earlier run is never used."""
        names = output_names(request)
        descriptors: list[int] = []
        try:
            descriptors.append(os.open(folder / original, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
            for name in (_REPLY, *names):
                (folder / name).unlink(missing_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptors.append(os.open(folder / name, flags, 0o600))
            yield cls(folder, names, descriptors, isinstance(request, Work) and request.facts)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def outcome(self, limits: Limits, cpu_seconds: float) -> Outcome:
        """Raises ValueError if the reply does not match the request."""
        data = os.pread(self.descriptors[1], MAX_REPLY_BYTES + 1, 0)
        if len(data) > MAX_REPLY_BYTES:
            raise ValueError("the reply is too long")
        reply = REPLY.validate_json(data)
        match reply:
            case RejectedReply():
                return Rejected(slug=reply.slug, detail=reply.detail, facts=reply.facts)
            case FailedReply():
                return Failed(reason=reply.reason, detail=reply.detail)
        if [output.index for output in reply.outputs] != list(range(len(self.names))):
            raise ValueError("the reply does not list the requested files")
        if self.wants_facts and reply.facts is None:
            raise ValueError("the reply has no facts")
        return Processed(
            facts=reply.facts,
            renditions=[self._rendition(reply, index, limits) for index in range(len(self.names))],
            cpu_seconds=cpu_seconds,
        )

    def _rendition(self, reply: ProcessedReply, index: int, limits: Limits) -> RenditionFile:
        preset, _, format = self.names[index].partition(".")
        descriptor = self.descriptors[2 + index]
        size = os.fstat(descriptor).st_size
        if size > limits.max_output_bytes:
            raise ValueError(f"{self.names[index]} is too large")
        if sniff(os.pread(descriptor, SNIFF_BYTES, 0)) != MEDIA_TYPE_OF_FORMAT[format]:
            raise ValueError(f"{self.names[index]} is not an image of that format")
        output = reply.outputs[index]
        return RenditionFile(
            preset=preset,
            format=format,
            width=output.width,
            height=output.height,
            path=self.folder / self.names[index],
            bytes=size,
        )
