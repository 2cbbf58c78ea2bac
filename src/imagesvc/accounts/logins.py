"""Logins: exchanges a password for an access token, and limits failed attempts.

Failures are counted per pair of account and address. After five failures, each further one doubles the wait, up to a
quarter of an hour. Logins from other addresses are not affected, so that an attacker cannot lock an owner out. The
counts are in PostgreSQL, which all processes share. A missing, disabled or passwordless account costs the same work
and gets the same response as a wrong password.
"""

import datetime as dt
import hmac
import ipaddress
import unicodedata
from hashlib import sha256

import structlog

from imagesvc.accounts import queries
from imagesvc.accounts.errors import TooManyFailures, WrongPassword
from imagesvc.accounts.passwords import Passwords
from imagesvc.accounts.queries import LoginLookup
from imagesvc.accounts.schemas import TokenResponse
from imagesvc.accounts.service import SCOPES_OF_ROLE, access_tokens
from imagesvc.db import Database
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings

FREE_FAILURES = 5
MAX_BLOCK_SECONDS = 900.0
FAILURES_KEPT_SECONDS = 3600.0
"""After this time without a failure, the count starts again at zero."""

log = structlog.get_logger(__name__)


class Logins:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing, passwords: Passwords) -> None:
        self._lifetime = dt.timedelta(seconds=settings.access_token_seconds)
        self._database = database
        self._keys = keys
        self._tokens = access_tokens(keys)
        self._passwords = passwords

    async def log_in(self, account: str, password: str, *, address: str | None) -> TokenResponse:
        """Issue an access token. Raises WrongPassword, TooManyFailures, TooManyLogins."""
        found = await self.authenticate(account, password, address=address)
        now = dt.datetime.now(dt.UTC)
        claims = {"sub": found.id, "gen": found.token_generation}
        return TokenResponse(
            access_token=self._tokens.issue(claims, issued_at=now, expires_at=now + self._lifetime),
            expires_in=int(self._lifetime.total_seconds()),
            scope=" ".join(sorted(SCOPES_OF_ROLE[found.role])),
        )

    async def authenticate(self, account: str, password: str, *, address: str | None) -> queries.LoginAccount:
        """The enabled account with this name and password. A success forgets earlier failures.

        Raises WrongPassword, TooManyFailures, TooManyLogins.
        """
        # normalized like the names of new accounts; PostgreSQL accepts no NUL
        account = unicodedata.normalize("NFC", account).strip().replace("\x00", "\ufffd")
        key = self._failure_key(account, address)
        found = await self._check(account, password, key=key)
        if found.failures is not None:
            await self._database.fetch_row(queries.DELETE_FAILURES, key)
        if self._passwords.is_outdated(found.password_hash):
            stronger = await self._passwords.hash(password)
            await self._database.fetch_row(queries.REPLACE_HASH, found.id, found.password_hash, stronger)
        log.info("logged in", user_id=str(found.id))
        return found

    async def _check(self, account: str, password: str, *, key: bytes) -> queries.LoginAccount:
        """The enabled account with this password. A failure is counted. Raises as ``log_in`` does."""
        # earlier failures are read inside the slot: of many guesses sent at once, only the first few are checked
        async with self._passwords.slot():
            found = await self._database.fetch_one(queries.LOGIN_LOOKUP, LoginLookup, account, key)
            if (found.blocked_seconds or 0) > 0:
                raise TooManyFailures(retry_after_seconds=found.blocked_seconds)
            is_right = await self._passwords.verify(password, found.password_hash)
            enabled = found.enabled_account()
            if not is_right or enabled is None:
                await self._database.fetch_row(
                    queries.COUNT_FAILURE, key, FREE_FAILURES, MAX_BLOCK_SECONDS, FAILURES_KEPT_SECONDS
                )
                raise WrongPassword
        return enabled

    def _failure_key(self, account: str, address: str | None) -> bytes:
        """The stored key of account and address: a keyed hash, because people type passwords into the account field."""
        _, key = self._keys.signing("login")
        return hmac.digest(key, f"{account.lower()}\0{network_of(address)}".encode(errors="replace"), sha256)


def network_of(address: str | None) -> str:
    """The addresses that are counted as one: of IPv6 a whole /64, because providers assign a /64 to each customer."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
