"""What can be wrong with asking for a resize, or for its result."""

from imagesvc.errors import Conflict, ImagesvcError, Invalid, NotFound


class NotAResize(Invalid):
    slug, title = "not-a-resize", "The request asks for no possible resize"


class UnknownBody(ImagesvcError):
    status, slug, title = 415, "not-json-nor-multipart", "The request is neither JSON nor multipart/form-data"


class TooManyResizes(ImagesvcError):
    """So many of this account wait for a worker. The same request may go through later."""

    status, slug, title = 429, "too-many-resizes", "Too many resizes are under way"
    retry_after_seconds = 5


class ResizeNotFound(NotFound):
    slug = "resize-not-found"


class ResizeExpired(ImagesvcError):
    """Asking for it again, as the first time, makes it anew under the same token."""

    status, slug, title = 410, "resize-expired", "The result was kept for its time and is gone"


class NoResult(Conflict):
    """The work goes on, or it has failed; `GET /v1/resizes/{token}` says which."""

    slug, title = "no-result", "There is no resized image"
