"""Errors of the image routes."""

from imagesvc.errors import Conflict, NotFound, Unavailable


class ImageNotFound(NotFound):
    slug = "image-not-found"


class UploadNotFound(NotFound):
    slug = "upload-not-found"


class NoSuchRendition(NotFound):
    slug, title = "rendition-not-found", "The rendition does not exist"


class NoRendition(Conflict):
    """The image is `rejected` or `failed`, so no rendition can be made."""

    slug, title = "no-rendition", "This image has no renditions"


class RenditionNotReady(Unavailable):
    slug, title = "rendition-not-ready", "The rendition is not ready yet"
    retry_after_seconds = 2
