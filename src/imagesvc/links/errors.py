"""Failures of opening, creating or changing a link."""

from imagesvc.errors import ImagesvcError, Invalid, NotFound, Unauthenticated, Unavailable


class BadLinkToken(Unauthenticated):
    slug, title = "bad-link-token", "The link's token is not valid"


class LinkExpired(ImagesvcError):
    status, slug, title = 410, "link-expired", "The link has expired"


class LinkRevoked(ImagesvcError):
    """Revoked, or its owner was disabled or deleted."""

    status, slug, title = 410, "link-revoked", "The link was revoked"


class LinkUsedUp(ImagesvcError):
    status, slug, title = 410, "link-used-up", "The link has reached its limit"


class LinkRoomTooSmall(ImagesvcError):
    status, slug, title = 413, "link-room-too-small", "The file is larger than the remaining limit of the link"


class LinkReserved(Unavailable):
    """The uploads in progress may fail and free what they reserve, so the same request may succeed later."""

    slug, title = "link-reserved", "Uploads in progress reserve the remaining limit of the link"
    retry_after_seconds = 10


class LinkNotFound(NotFound):
    slug = "link-not-found"


class LinkLifetime(Invalid):
    slug, title = "link-lifetime", "The link's lifetime is not allowed"


class LinkLimitBelowUse(Invalid):
    slug, title = "link-limit-below-use", "The limit is below what the link has already used"


REFUSALS = {error.slug: error for error in (LinkRevoked, LinkUsedUp, LinkRoomTooSmall, LinkReserved)}
"""The error for each refusal that the database functions of admission return."""
