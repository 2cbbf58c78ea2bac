"""Errors of the job routes, and the reasons why an image of a job failed: stored slugs and their texts."""

from collections.abc import Mapping

from imagesvc.errors import Invalid, NotFound
from imagesvc.fetching.errors import REASONS as FETCH_REASONS
from imagesvc.images.processing_problems import title_of

UNKNOWN_STORE, IMAGE_DELETED, GIVEN_UP = "unknown-store", "image-deleted", "processing-failed"

_MESSAGES: Mapping[str, str] = {
    **FETCH_REASONS,
    UNKNOWN_STORE: "There is no such store.",
    IMAGE_DELETED: "The image was deleted before it was processed.",
    GIVEN_UP: "The service failed to process the image.",
    "unsupported-media-type": "The URL does not lead to an image in an accepted format.",
    "empty-file": "The URL leads to an empty file.",
    "file-too-large": FETCH_REASONS["too-large"],
}


class JobNotFound(NotFound):
    slug, title = "job-not-found", "There is no such job"


class BadJob(Invalid):
    slug, title = "invalid-job", "The job is not valid"


def message_of(reason: str) -> str:
    """The text of a reason. It reveals no details of the network that the service runs in."""
    if reason.startswith("http-"):
        return f"The host answered {reason.removeprefix('http-')}."
    return _MESSAGES.get(reason) or f"{title_of(reason)}."
