"""Failures of credentials, logins, passwords and accounts."""

from imagesvc.errors import Conflict, Forbidden, ImagesvcError, Invalid, NotFound, Unauthenticated, Unavailable


class BadAccessToken(Unauthenticated):
    """The token is forged, of another kind, or ended by a new password or by disabling or deleting the account."""

    slug, title = "bad-access-token", "This access token is not valid"


class AccessTokenExpired(Unauthenticated):
    slug, title = "access-token-expired", "The access token has expired: log in again"


class BadKey(Unauthenticated):
    """The key is unknown or revoked, or its account is disabled or deleted."""

    slug, title = "bad-api-key", "This API key is not valid"


class KeyExpired(Unauthenticated):
    slug, title = "api-key-expired", "The API key has expired"


class AccountGone(Unauthenticated):
    """The account was deleted while the request ran."""

    slug, title = "account-gone", "The account no longer exists"


class WrongPassword(Unauthenticated):
    """The account does not exist or is disabled, or the password is wrong. The response does not say which."""

    slug, title = "wrong-password", "Account or password is wrong"


class TooManyFailures(ImagesvcError):
    """Too many logins to this account from this address failed. After the wait, the correct password works."""

    status, slug, title = 429, "too-many-failures", "Too many failed logins"
    retry_after_seconds = 1


class TooManyLogins(Unavailable):
    slug, title = "too-many-logins", "Too many logins at once"
    retry_after_seconds = 2


class WeakPassword(Invalid):
    slug, title = "weak-password", "The password is too easy to guess"


class AccountTaken(Conflict):
    slug, title = "account-taken", "An account of this name exists already"


class UserNotFound(NotFound):
    slug = "user-not-found"


class KeyNotFound(NotFound):
    slug = "api-key-not-found"


class NotWithAKey(Forbidden):
    """The request needs a login by password. A stolen key must not be able to outlive its revocation."""

    slug, title = "not-with-a-key", "An API key does not permit this"


class LoginTooOld(Forbidden):
    """Changing or deleting one's own account needs a recent login, so that a stolen access token is not enough."""

    slug, title = "login-too-old", "The login is too old: log in again"


class ScopeBeyondRole(Forbidden):
    slug, title = "scope-beyond-role", "The account's role does not have this scope"


class BuiltInAccount(Forbidden):
    """The account `admin` always stays an enabled admin, so that at least one exists."""

    slug, title = "built-in-account", "The built-in account cannot be changed like this"
