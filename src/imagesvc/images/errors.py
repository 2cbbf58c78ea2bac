"""What can be wrong with asking for an image."""

from imagesvc.errors import Conflict, NotFound, Unavailable


class ImageNotFound(NotFound):
    slug = "image-not-found"


class UploadNotFound(NotFound):
    slug = "upload-not-found"


class NoSuchRendition(NotFound):
    slug, title = "rendition-not-found", "There is no such rendition"


class NoRendition(Conflict):
    """The image was rejected or has failed: there is nothing to render."""

    slug, title = "no-rendition", "This image has no renditions"


class RenditionNotReady(Unavailable):
    slug, title = "rendition-not-ready", "The rendition is still being made"
    retry_after_seconds = 2
