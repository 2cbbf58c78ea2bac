"""What can be wrong with a job, and why an image of one failed: slugs that are kept, and the texts told for them."""

from collections.abc import Mapping

from imagesvc.errors import Invalid, NotFound
from imagesvc.fetching.errors import REASONS as FETCH_REASONS
from imagesvc.images.processing_problems import title_of

UNKNOWN_STORE, IMAGE_DELETED, GIVEN_UP = "unknown-store", "image-deleted", "processing-failed"

_REASONS: Mapping[str, str] = {
    **FETCH_REASONS,
    UNKNOWN_STORE: "There is no such store.",
    IMAGE_DELETED: "The image was deleted before it was processed.",
    GIVEN_UP: "Processing failed on our side.",
    "unsupported-media-type": "What the URL leads to is not an image of an accepted format.",
    "empty-file": "What the URL leads to is empty.",
    "file-too-large": FETCH_REASONS["too-large"],
}


class JobNotFound(NotFound):
    slug, title = "job-not-found", "There is no such job"


class BadJob(Invalid):
    slug, title = "invalid-job", "The job is not valid"


def told(reason: str) -> str:
    """The text of a reason: coarse, in the words of whoever sent the job."""
    if reason.startswith("http-"):
        return f"The host answered {reason.removeprefix('http-')}."
    return _REASONS.get(reason) or f"{title_of(reason)}."
