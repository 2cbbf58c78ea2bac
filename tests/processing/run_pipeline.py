"""Runs the processing of one image without the sandbox, which only confines it."""

import io
from dataclasses import dataclass

from PIL import Image

from imagesvc.processing.contract import ProcessedReply, RejectedReply, Resize, Work
from imagesvc.processing.facts import Facts
from imagesvc.processing.limits import Limits
from imagesvc.processing.pipeline import process
from imagesvc.processing.sandbox.files import REPLY
from imagesvc.processing.sandbox.protocol import encoded


@dataclass(frozen=True)
class Done:
    reply: ProcessedReply
    files: list[bytes]

    @property
    def facts(self) -> Facts:
        assert self.reply.facts is not None
        return self.reply.facts

    def picture(self, index: int = 0) -> Image.Image:
        image = Image.open(io.BytesIO(self.files[index]))
        image.load()
        return image


NO_PIXELS = Work(score=False, renditions=())


def attempt(data: bytes, request: Work | Resize = NO_PIXELS, limits: Limits | None = None) -> Done | RejectedReply:
    files: dict[int, bytes] = {}
    written = process(io.BytesIO(data), data, request, limits or Limits(), files.__setitem__)
    reply = REPLY.validate_json(encoded(written))  # as the worker reads it
    assert reply == written
    if isinstance(reply, RejectedReply):
        return reply
    return Done(reply, [files[index] for index in sorted(files)])


def work_on(data: bytes, request: Work | Resize = NO_PIXELS, limits: Limits | None = None) -> Done:
    done = attempt(data, request, limits)
    assert isinstance(done, Done), done
    return done


def facts_of(data: bytes) -> Facts:
    return work_on(data).facts


def refusal_of(data: bytes, request: Work | Resize | None = None, limits: Limits | None = None) -> RejectedReply:
    done = attempt(data, request or Work(score=False), limits)
    assert isinstance(done, RejectedReply), done
    return done
