"""The files of one image. The worker opens them, the child writes them by descriptor, and the worker validates them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter

from imagesvc.processing.contract import (
    MAX_REPLY_BYTES,
    MEDIA_TYPE_OF_FORMAT,
    Failed,
    FailedReply,
    Outcome,
    OutputFile,
    Processed,
    ProcessedReply,
    Rejected,
    RejectedReply,
    RenditionFile,
    Reply,
    Resize,
    Work,
    output_names,
    stands_for,
)
from imagesvc.processing.limits import Limits
from imagesvc.processing.sniff import SNIFF_BYTES, sniff

_REPLY_FILE = "reply.json"
REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="outcome")])


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
            for name in (_REPLY_FILE, *names):
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
        if self.wants_facts and reply.facts is None:
            raise ValueError("the reply has no facts")
        self._check_names(reply)
        return Processed(
            facts=reply.facts,
            renditions=[self._rendition(output, limits) for output in reply.outputs],
            cpu_seconds=cpu_seconds,
        )

    def _check_names(self, reply: ProcessedReply) -> None:
        """Each requested file is listed, or a smaller preset that shows the whole image, unreduced, stands for it."""
        indexes = [output.index for output in reply.outputs]
        if sorted(set(indexes)) != indexes or indexes[-1:] > [len(self.names) - 1]:
            raise ValueError("the reply does not list the requested files")
        facts = reply.facts
        listed = [(self.names[output.index].split("."), (output.width, output.height)) for output in reply.outputs]
        whole = [name for name, size in listed if facts is None or size == (facts.width, facts.height)]
        for index in set(range(len(self.names))).difference(indexes):
            preset, format = self.names[index].split(".")
            if not any(form == format and stands_for(small, preset) for small, form in whole):
                raise ValueError("the reply does not list the requested files")

    def _rendition(self, output: OutputFile, limits: Limits) -> RenditionFile:
        index = output.index
        preset, _, format = self.names[index].partition(".")
        descriptor = self.descriptors[2 + index]
        size = os.fstat(descriptor).st_size
        if size > limits.max_output_bytes:
            raise ValueError(f"{self.names[index]} is too large")
        if sniff(os.pread(descriptor, SNIFF_BYTES, 0)) != MEDIA_TYPE_OF_FORMAT[format]:
            raise ValueError(f"{self.names[index]} is not an image of that format")
        return RenditionFile(
            preset=preset,
            format=format,
            width=output.width,
            height=output.height,
            path=self.folder / self.names[index],
            bytes=size,
        )
