"""Creates, reads, changes and deletes accounts.

The built-in account `admin` is never demoted, disabled or deleted, so an admin always exists. For that reason, every
other admin may be demoted or deleted, including the last one and the caller.
"""

from collections.abc import Sequence
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError

from imagesvc.accounts import queries
from imagesvc.accounts.errors import AccountTaken, BuiltInAccount, UserNotFound
from imagesvc.accounts.models import User
from imagesvc.accounts.passwords import Passwords, require_strong
from imagesvc.accounts.schemas import NewUser, UserChanges
from imagesvc.accounts.service import ADMIN_ID, Caller
from imagesvc.db import Database, new_id
from imagesvc.errors import Forbidden
from imagesvc.settings import Settings
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.leases import new_task
from imagesvc.tasks.queue import Queue

REMOVE_ACCOUNT = "remove_account"
"""The kind of the task that removes an account (``operations/account_removal.py``)."""


def removal_key(user_id: UUID) -> str:
    """The dedupe key of the task that removes this account."""
    return f"{REMOVE_ACCOUNT}:{user_id}"


class Users:
    """Manages accounts on behalf of a caller."""

    def __init__(
        self, settings: Settings, database: Database, queue: Queue, waiter: CompletionWaiter, passwords: Passwords
    ) -> None:
        self._removal_wait_seconds = settings.account_removal_wait_seconds
        self._sessions = database.sessions
        self._queue = queue
        self._waiter = waiter
        self._passwords = passwords

    async def create(self, caller: Caller, wanted: NewUser) -> User:
        """Create an account. Raises Forbidden, WeakPassword, AccountTaken, TooManyLogins."""
        caller.require("admin")
        hashed = await self._hashed(wanted.password, account=wanted.account)
        user = User(id=new_id(), account=wanted.account, role=wanted.role, password_hash=hashed)
        try:
            async with self._sessions.begin() as session:
                session.add(user)
                await session.flush()
                await session.refresh(user)
        except IntegrityError as error:
            entry = {"pointer": "/account", "detail": "Choose another name. Names that differ only in case are equal."}
            raise AccountTaken(entry["detail"], extra={"errors": [entry]}) from error
        return user

    async def get(self, caller: Caller, user_id: UUID) -> User:
        """The caller's own account, or any for an admin. Raises UserNotFound."""
        async with self._sessions() as session:
            found = await queries.user(session, user_id) if _may_see(caller, user_id) else None
        if found is None:
            raise UserNotFound
        return found

    async def page(self, caller: Caller, *, after: UUID | None, limit: int) -> Sequence[User]:
        """All accounts, the oldest first. Raises Forbidden."""
        caller.require("admin")
        async with self._sessions() as session:
            return await queries.page_of_users(session, after=after, limit=limit)

    async def by_account(self, caller: Caller, account: str) -> User:
        """The account of this name, in any case. Raises Forbidden, UserNotFound."""
        caller.require("admin")
        async with self._sessions() as session:
            found = await queries.user_by_account(session, account)
        if found is None:
            raise UserNotFound
        return found

    async def change(self, caller: Caller, user_id: UUID, changes: UserChanges) -> User:
        """Change an account. A new password and disabling end its access tokens.

        Raises UserNotFound, Forbidden, NotWithAKey, LoginTooOld, BuiltInAccount, WeakPassword, TooManyLogins.
        """
        current = await self.get(caller, user_id)
        _require_right(caller, user_id, changes)
        hashed = await self._hashed(changes.password, account=current.account) if changes.password else None
        async with self._sessions.begin() as session:
            user = await queries.lock_user(session, user_id)
            if user is None:
                raise UserNotFound
            if hashed is not None:
                user.password_hash = hashed
            if changes.role is not None:
                user.role = changes.role
            if changes.disabled is not None and changes.disabled != (user.disabled_at is not None):
                user.disabled_at = func.now() if changes.disabled else None
            if hashed is not None or changes.disabled:
                user.token_generation = User.token_generation + 1
            await session.flush()
            await session.refresh(user)
        return user

    async def delete(self, caller: Caller, user_id: UUID) -> None:
        """Delete an account. It and its images disappear at once; a task removes the rows in the background.

        Raises UserNotFound, NotWithAKey, LoginTooOld, BuiltInAccount.
        """
        await self.get(caller, user_id)
        if user_id == ADMIN_ID:
            raise BuiltInAccount
        if user_id == caller.user_id:
            caller.require_fresh_login()
        task = new_task(kind=REMOVE_ACCOUNT, payload={"user_id": str(user_id)}, dedupe_key=removal_key(user_id))
        async with self._sessions.begin() as session:
            user = await queries.lock_user(session, user_id)
            if user is None:
                raise UserNotFound
            user.disabled_at = user.deleted_at = func.now()
            user.password_hash = None
            user.token_generation = User.token_generation + 1
            await session.flush()
            await queries.delete_keys_of(session, user_id)
            session.add(task)
        await self._queue.wake(task.id, is_urgent=True)
        await self._waiter.for_task(removal_key(user_id), seconds=self._removal_wait_seconds)

    async def _hashed(self, password: SecretStr, *, account: str) -> str:
        return await self._passwords.hash(require_strong(password.get_secret_value(), account=account))


def _may_see(caller: Caller, user_id: UUID) -> bool:
    return caller.is_admin or caller.user_id == user_id


def _require_right(caller: Caller, user_id: UUID, changes: UserChanges) -> None:
    """Raises Forbidden, NotWithAKey, LoginTooOld, BuiltInAccount."""
    for name in ("role", "disabled"):
        if getattr(changes, name) is not None and not caller.is_admin:
            entry = {"pointer": f"/{name}", "detail": "Only an admin may change this."}
            raise Forbidden(entry["detail"], extra={"errors": [entry]})
    if changes.password is not None and caller.user_id == user_id:
        caller.require_fresh_login()
    if user_id == ADMIN_ID:
        if changes.role == "member" or changes.disabled:
            raise BuiltInAccount("This account stays an enabled admin.")
        if changes.password is not None and caller.user_id != ADMIN_ID:
            raise BuiltInAccount("Set its password with the admin token or with `imagesvc users set-password`.")
