"""The problems that processing can end with, explained at ``/problems/<slug>``.

They are stored as the ``problem`` of an image or a resize and are never raised.
"""

from imagesvc.errors import ImagesvcError
from imagesvc.images.models import ProblemJson


class ProcessingProblem(ImagesvcError):
    """Status 422 means that the file is at fault (`rejected`), 500 that the service is (`failed`)."""

    status, slug, title = 422, "rejected-image", "The file was not accepted as an image"


class BrokenImage(ProcessingProblem):
    """The file begins like an image of its format, but the rest is truncated or damaged."""

    slug, title = "broken-image", "The file is damaged"


class TooManyPixels(ProcessingProblem):
    """A side, the number of pixels, or the pixels of all frames together exceed the limit."""

    slug, title = "too-many-pixels", "The image is too large"


class TooManyFrames(ProcessingProblem):
    slug, title = "too-many-frames", "The animation has too many frames"


class TooLargeMetadata(ProcessingProblem):
    """The text fields or the color profile exceed the limit."""

    slug, title = "too-large-metadata", "The metadata in the file is too large"


class UnsupportedContent(ProcessingProblem):
    """The format is accepted, but the file uses a feature of it that is not supported."""

    slug, title = "unsupported-content", "This kind of image is not supported"


class ProcessingError(ProcessingProblem):
    """An unexpected error in the service. Sending the file again starts a new attempt, as for every `failed` image."""

    status, slug, title = 500, "processing-error", "Processing failed"


class ObjectLost(ProcessingError):
    """The stored file is missing. Sending the file again stores it again."""

    slug, title = "object-lost", "The stored file is missing"


class WorkerDied(ProcessingError):
    slug, title = "worker-died", "Processing did not finish"


class DecoderCrashed(ProcessingError):
    slug, title = "decoder-crashed", "The decoder crashed on this file"


class DecoderKilled(ProcessingError):
    slug, title = "decoder-killed", "The decoder was stopped"


class DecoderTimeout(ProcessingError):
    slug, title = "decoder-timeout", "Decoding took too long"


class DecoderMemory(ProcessingError):
    slug, title = "decoder-memory", "Decoding needed too much memory"


_PROBLEM_OF_SLUG: dict[str, type[ProcessingProblem]] = {
    problem.slug: problem
    for problem in (
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


def rejection(slug: str, detail: str) -> ProblemJson:
    """The ``problem`` of a `rejected` image."""
    return _as_json(_PROBLEM_OF_SLUG.get(slug, ProcessingProblem), detail)


def failure(reason: str) -> ProblemJson:
    """The ``problem`` of a `failed` image. Reasons without a class of their own are only in the log and the task."""
    return _as_json(_PROBLEM_OF_SLUG.get(reason, ProcessingError), None)


def title_of(slug: str) -> str:
    return _PROBLEM_OF_SLUG.get(slug, ProcessingProblem).title


def _as_json(problem: type[ProcessingProblem], detail: str | None) -> ProblemJson:
    return {"type": f"/problems/{problem.slug}", "title": problem.title, "detail": detail}
