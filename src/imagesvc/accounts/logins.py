"""A password against an access token, with failures slowed down.

An account and an address together may fail five times; then each further failure doubles a wait, up to a quarter of an
hour. Another address is not concerned, so nobody can lock an owner out. The count is in PostgreSQL: all processes see
it. An account that is not there, has no password or is disabled costs the same work and gets the same answer.
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
from imagesvc.accounts.schemas import Granted
from imagesvc.accounts.service import SCOPES_OF_ROLE, access_tokens
from imagesvc.db import Database
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings

FREE_FAILURES = 5
MAX_BLOCK_SECONDS = 900.0
FORGOTTEN_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class Logins:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing, passwords: Passwords) -> None:
        self._lifetime = dt.timedelta(seconds=settings.access_token_seconds)
        self._database = database
        self._keys = keys
        self._tokens = access_tokens(keys)
        self._passwords = passwords

    async def log_in(self, account: str, password: str, *, address: str | None) -> Granted:
        """An access token. Raises WrongPassword, TooManyFailures, TooManyLogins."""
        # as names are written when accounts are made; PostgreSQL takes no NUL
        account = unicodedata.normalize("NFC", account).strip().replace("\x00", "\ufffd")
        key = self._failure_key(account, address)
        # the look at earlier failures comes when our turn does: of many guesses sent at once only the first few pass
        async with self._passwords.turn():
            row = await self._database.fetch_row(queries.LOGIN, account, key)
            if (row["blocked_seconds"] or 0) > 0:
                raise TooManyFailures(retry_after_seconds=row["blocked_seconds"])
            is_right = await self._passwords.is_right(password, row["password_hash"]) and not row["disabled"]
            if not is_right:
                await self._database.fetch_row(
                    queries.LOGIN_FAILED, key, FREE_FAILURES, MAX_BLOCK_SECONDS, FORGOTTEN_SECONDS
                )
                raise WrongPassword
        if row["failures"] is not None:
            await self._database.fetch_row(queries.LOGIN_WORKED, key)
        if self._passwords.is_outdated(row["password_hash"]):
            stronger = await self._passwords.hash(password)
            await self._database.fetch_row(queries.REHASHED, row["id"], row["password_hash"], stronger)
        log.info("logged in", user_id=str(row["id"]))
        now = dt.datetime.now(dt.UTC)
        claims = {"sub": row["id"], "gen": row["token_generation"]}
        return Granted(
            access_token=self._tokens.issue(claims, issued_at=now, expires_at=now + self._lifetime),
            expires_in=int(self._lifetime.total_seconds()),
            scope=" ".join(sorted(SCOPES_OF_ROLE[row["role"]])),
        )

    def _failure_key(self, account: str, address: str | None) -> bytes:
        """Keyed, because people type passwords where the account belongs."""
        _, key = self._keys.signing("login")
        return hmac.digest(key, f"{account.lower()}\0{neighbourhood(address)}".encode(errors="replace"), sha256)


def neighbourhood(address: str | None) -> str:
    """Who counts as one address: of IPv6, a whole /64, since every customer has as many addresses as he likes."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
