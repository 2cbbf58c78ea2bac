"""What processing can say against an image: told in its `problem`, never raised, explained at ``/problems/<slug>``."""

from typing import Any

from imagesvc.errors import ImagesvcError


class ProcessingProblem(ImagesvcError):
    """The status says whose fault it is: 422 the file's (`rejected`), 500 ours (`failed`)."""

    status, slug, title = 422, "rejected-image", "The file was not accepted as a picture"


class BrokenImage(ProcessingProblem):
    """It begins like a picture of its format, but what follows is cut off or damaged."""

    slug, title = "broken-image", "The file is damaged"


class TooManyPixels(ProcessingProblem):
    """Its sides, its pixels, or those of all its frames together are beyond what this service takes."""

    slug, title = "too-many-pixels", "The picture is too large"


class TooManyFrames(ProcessingProblem):
    slug, title = "too-many-frames", "The animation has too many frames"


class TooLargeMetadata(ProcessingProblem):
    """Its texts or its colour profile are out of all proportion."""

    slug, title = "too-large-metadata", "The metadata in the file is too large"


class UnsupportedContent(ProcessingProblem):
    """The format is accepted, but this file uses a part of it that is not."""

    slug, title = "unsupported-content", "This kind of picture is not supported"


class ProcessingError(ProcessingProblem):
    """Ours: nobody expected this. Sending the file again tries it again, as for every image that has `failed`."""

    status, slug, title = 500, "processing-error", "Processing failed"


class ObjectLost(ProcessingError):
    """Sending the file again stores it anew."""

    slug, title = "object-lost", "The stored file is missing"


class WorkerDied(ProcessingError):
    slug, title = "worker-died", "Processing did not come to an end"


class DecoderCrashed(ProcessingError):
    slug, title = "decoder-crashed", "The decoder crashed on this file"


class DecoderKilled(ProcessingError):
    slug, title = "decoder-killed", "The decoder was stopped"


class DecoderTimeout(ProcessingError):
    slug, title = "decoder-timeout", "Decoding took too long"


class DecoderMemory(ProcessingError):
    slug, title = "decoder-memory", "Decoding needed too much memory"


_VERDICTS: dict[str, type[ProcessingProblem]] = {
    kind.slug: kind
    for kind in (
        BrokenImage,
        TooManyPixels,
        TooManyFrames,
        TooLargeMetadata,
        UnsupportedContent,
        ObjectLost,
        WorkerDied,
        DecoderCrashed,
        DecoderKilled,
        DecoderTimeout,
        DecoderMemory,
    )
}


def rejection(slug: str, detail: str) -> dict[str, Any]:
    """The `problem` of an image that is `rejected`."""
    return _member(_VERDICTS.get(slug, ProcessingProblem), detail)


def failure(reason: str) -> dict[str, Any]:
    """The `problem` of an image that has `failed`; what only we understand is told in the log and the dead letter."""
    return _member(_VERDICTS.get(reason, ProcessingError), None)


def title_of(slug: str) -> str:
    """What a verdict says in short."""
    return _VERDICTS.get(slug, ProcessingProblem).title


def _member(kind: type[ProcessingProblem], detail: str | None) -> dict[str, Any]:
    return {"type": f"/problems/{kind.slug}", "title": kind.title, "detail": detail}
