"""What can be wrong with a link."""

from imagesvc.errors import ImagesvcError, Invalid, NotFound, Unauthenticated, Unavailable


class BadLinkToken(Unauthenticated):
    slug, title = "bad-link-token", "This is not a link of ours"


class LinkExpired(ImagesvcError):
    status, slug, title = 410, "link-expired", "The link has expired"


class LinkRevoked(ImagesvcError):
    status, slug, title = 410, "link-revoked", "The link was withdrawn"


class LinkUsedUp(ImagesvcError):
    status, slug, title = 410, "link-used-up", "The link has taken all that it may"


class LinkRoomTooSmall(ImagesvcError):
    status, slug, title = 413, "link-room-too-small", "The file is larger than what the link still takes"


class LinkReserved(Unavailable):
    slug, title = "link-reserved", "What the link still takes is reserved by uploads under way"
    retry_after_seconds = 10


class LinkNotFound(NotFound):
    slug = "link-not-found"


class LinkLifetime(Invalid):
    slug, title = "link-lifetime", "The link's lifetime is not possible"


class LinkLimitBelowUse(Invalid):
    slug, title = "link-limit-below-use", "The limit is below what the link has already taken"


REFUSALS = {error.slug: error for error in (LinkRevoked, LinkUsedUp, LinkRoomTooSmall, LinkReserved)}
"""By the words that the database functions of admission refuse with."""
