"""Failures of creating, withdrawing or opening a share."""

from imagesvc.errors import ImagesvcError, Invalid, NotFound, Unauthenticated


class BadShareToken(Unauthenticated):
    slug, title = "bad-share-token", "The share's token is not valid"


class ShareExpired(ImagesvcError):
    status, slug, title = 410, "share-expired", "The share has expired"


class ShareEnded(ImagesvcError):
    """Withdrawn, or its image or owner was deleted, or its owner is disabled."""

    status, slug, title = 410, "share-ended", "The share was withdrawn"


class ShareNotFound(NotFound):
    slug = "share-not-found"


class ShareLifetime(Invalid):
    slug, title = "share-lifetime", "The share's lifetime is not allowed"
