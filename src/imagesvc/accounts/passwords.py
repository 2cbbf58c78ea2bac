"""Passwords: which are good enough, and Argon2id (RFC 9106) in threads of its own, a few at a time.

A hash costs 19 MiB and some 50 ms of CPU (the first choice of OWASP's cheat sheet): whoever sends many logins at once
must not take the machine away from uploads.
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

SHORTEST, LONGEST = 10, 1000
MIN_DIFFERENT = 4
WORST = frozenset(
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
    """.split()  # noqa: SIM905 - one list, easily read
)
"""The most used ones that are long enough; the lists that went round with breaches begin with these."""
WAIT_SECONDS = 10.0
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$mNyjcyzp5/qVsnP0EuEElw$KA/rS0NJ/whRA0zGalHb88lSjWqgksxO8bDQDtN8oXE"
"""The hash of no password, made with our parameters: what an account that is not there is compared with."""

T = TypeVar("T")


def require_good(password: str, *, account: str) -> str:
    """The password as it is hashed (NFKC, as NIST SP 800-63B asks, so that every keyboard gives the same one).

    Raises WeakPassword.
    """
    plain = unicodedata.normalize("NFKC", password)
    if any("\ud800" <= letter <= "\udfff" for letter in plain):
        raise _weak("Lone surrogates are no letters.")
    if len(plain) < SHORTEST:
        raise _weak(f"At least {SHORTEST} characters.")
    if len(plain) > LONGEST:
        raise _weak(f"At most {LONGEST} characters.")
    folded = plain.casefold()
    if folded.strip() == unicodedata.normalize("NFKC", account).casefold():
        raise _weak("The account's name is no password.")
    if folded.replace(" ", "") in WORST or len(set(folded)) < MIN_DIFFERENT:
        raise _weak("This is one of the first that anybody would try.")
    return plain


def _weak(detail: str) -> WeakPassword:
    return WeakPassword(detail, errors=[{"pointer": "/password", "detail": detail}])


class Passwords:
    """Hashes and compares, ``at_once`` side by side."""

    def __init__(self, at_once: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16)
        # the threads are the bound on the work, whoever gives up waiting for it; the places are the queue before them
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._places = asyncio.Semaphore(at_once)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among those who are served now. Raises TooManyLogins after a bounded wait."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise TooManyLogins from error
        try:
            yield
        finally:
            self._places.release()

    async def hash(self, password: str) -> str:
        """For a password that ``require_good`` let pass."""
        async with self.turn():
            return await self._apart(lambda: self._hasher.hash(password.encode()))

    async def is_right(self, password: str, hashed: str | None) -> bool:
        """Whether this is the password, within a ``turn``. Without a hash it takes as long, and says no."""
        plain = unicodedata.normalize("NFKC", password).encode(errors="replace")
        return await self._apart(lambda: self._compare(plain, hashed or NOBODYS)) and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _compare(self, plain: bytes, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, plain)
        except (VerificationError, InvalidHashError):
            return False

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
