"""Passwords: rules for new ones, and hashing by Argon2id (RFC 9106) in a few threads.

A hash costs 19 MiB and about 50 ms of CPU (the first parameters of OWASP's cheat sheet). The number of threads limits
what many simultaneous logins can take from uploads.
"""

import asyncio
import contextlib
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from imagesvc.accounts.errors import TooManyLogins, WeakPassword

MIN_CHARS, MAX_CHARS = 10, 1000
MIN_DISTINCT_CHARS = 4
COMMON = frozenset(
    """
    0123456789 01234567890 1234567890 12345678910 123456789a 12345678901 123456789012 0987654321 9876543210
    1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc qazwsxedcrfv q1w2e3r4t5 qwerty1234 qwerty12345 qwerty123456 qwertyuiop
    qwertyuiop123 asdfghjkl; asdfghjkl123 abcdefghij abcd123456 abc1234567 a123456789 zxcvbnm123 password01
    password10 password11 password12 password123 password1234 password12345 password123! passw0rd123 p@ssw0rd123
    p@ssword123 mypassword mypassword1 thepassword yourpassword newpassword testpassword secretpassword
    defaultpassword adminadmin administrator admin12345 admin123456 adminpassword useruseruser rootrootroot
    letmein123 letmein1234 welcome123 welcome1234 changeme123 changeme1234 iloveyou12 iloveyou123 iloveyou1234
    princess123 sunshine123 football123 baseball123 superman123 dragon12345 monkey12345 master12345 shadow12345
    trustno1trustno1 correcthorsebatterystaple
    """.split()  # noqa: SIM905 - a list of strings would take a line each
)
"""The most common passwords of at least ``MIN_CHARS``: the first entries of published lists of breached passwords."""
WAIT_SECONDS = 10.0
DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$mNyjcyzp5/qVsnP0EuEElw$KA/rS0NJ/whRA0zGalHb88lSjWqgksxO8bDQDtN8oXE"
"""A hash of no known password with the current parameters, compared when the account has none: for equal timing."""

T = TypeVar("T")


def require_strong(password: str, *, account: str) -> str:
    """Check a new password and return it in the form that is hashed. Raises WeakPassword.

    The form is NFKC (NIST SP 800-63B), so that all keyboards produce the same password.
    """
    plain = unicodedata.normalize("NFKC", password)
    if any("\ud800" <= letter <= "\udfff" for letter in plain):
        raise _weak("Surrogates are not characters.")
    if len(plain) < MIN_CHARS:
        raise _weak(f"A password needs at least {MIN_CHARS} characters.")
    if len(plain) > MAX_CHARS:
        raise _weak(f"A password has at most {MAX_CHARS} characters.")
    folded = plain.casefold()
    if folded.strip() == unicodedata.normalize("NFKC", account).casefold():
        raise _weak("The password must not be the account's name.")
    if folded.replace(" ", "") in COMMON or len(set(folded)) < MIN_DISTINCT_CHARS:
        raise _weak("The password is one of the most common ones, or has too few different characters.")
    return plain


def _weak(detail: str) -> WeakPassword:
    return WeakPassword(detail, errors=[{"pointer": "/password", "detail": detail}])


class Passwords:
    """Hashes and verifies passwords, at most ``at_once`` at a time."""

    def __init__(self, at_once: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16)
        # the threads limit the work even when callers are cancelled; the semaphore is the queue for them
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._slots = asyncio.Semaphore(at_once)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for one of the ``at_once`` slots and hold it. Raises TooManyLogins after ``WAIT_SECONDS``."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise TooManyLogins from error
        try:
            yield
        finally:
            self._slots.release()

    async def hash(self, password: str) -> str:
        """The Argon2id hash of a password that ``require_strong`` returned. Raises TooManyLogins."""
        async with self.slot():
            return await self._in_thread(lambda: self._hasher.hash(password.encode()))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether ``hashed`` is of this password. Without a hash, returns False after the same time.

        The caller holds a ``slot``.
        """
        plain = unicodedata.normalize("NFKC", password).encode(errors="replace")
        return await self._in_thread(lambda: self._matches(plain, hashed or DUMMY_HASH)) and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash has other parameters than the current ones."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _matches(self, plain: bytes, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, plain)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
