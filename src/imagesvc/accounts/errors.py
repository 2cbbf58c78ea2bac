"""What can be wrong with a credential, a password or an account."""

from imagesvc.errors import Conflict, Forbidden, ImagesvcError, Invalid, NotFound, Unauthenticated, Unavailable


class BadAccessToken(Unauthenticated):
    """Forged, of another kind, or of an account that has ended it: by a new password, or being disabled or deleted."""

    slug, title = "bad-access-token", "This access token is not valid"


class AccessTokenExpired(Unauthenticated):
    slug, title = "access-token-expired", "The access token has expired: log in again"


class BadKey(Unauthenticated):
    """Unknown, revoked, or of an account that is disabled or deleted."""

    slug, title = "bad-api-key", "This API key is not valid"


class KeyExpired(Unauthenticated):
    slug, title = "api-key-expired", "The API key has expired"


class AccountGone(Unauthenticated):
    """The account was deleted while the request was under way."""

    slug, title = "account-gone", "The account does not exist any more"


class WrongPassword(Unauthenticated):
    """No such account, another password, or an account that may not come in: which of them is not told."""

    slug, title = "wrong-password", "Account or password is wrong"


class TooManyFailures(ImagesvcError):
    """This account failed too often from this address; after the wait the right password works."""

    status, slug, title = 429, "too-many-failures", "Too many failed logins"
    retry_after_seconds = 1


class TooManyLogins(Unavailable):
    slug, title = "too-many-logins", "More people log in than can be checked just now"
    retry_after_seconds = 2


class WeakPassword(Invalid):
    slug, title = "weak-password", "The password is too easy to guess"


class AccountTaken(Conflict):
    slug, title = "account-taken", "There is an account of this name already"


class UserNotFound(NotFound):
    slug = "user-not-found"


class KeyNotFound(NotFound):
    slug = "api-key-not-found"


class NotWithAKey(Forbidden):
    """A stolen key must not be able to outlive its revocation: log in with a password for this."""

    slug, title = "not-with-a-key", "An API key cannot do this"


class LoginTooOld(Forbidden):
    """What decides over an account needs a fresh login, so that a token found somewhere does not suffice."""

    slug, title = "login-too-old", "Log in again for this"


class ScopeBeyondRole(Forbidden):
    slug, title = "scope-beyond-role", "The account's role does not have this scope"


class BuiltInAccount(Forbidden):
    """The account `admin` always stays an enabled admin, so that there is always one."""

    slug, title = "built-in-account", "The built-in account stays as it is"
