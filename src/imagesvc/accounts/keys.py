"""API keys for devices and scripts. A key is shown once, and the role of its account limits its scopes."""

import datetime as dt
import secrets
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from imagesvc.accounts import queries
from imagesvc.accounts.errors import KeyNotFound, ScopeBeyondRole
from imagesvc.accounts.models import ApiKey
from imagesvc.accounts.schemas import NewKey
from imagesvc.accounts.service import KEY_PREFIX, Caller
from imagesvc.db import Database, new_id

PREFIX_CHARS = len(KEY_PREFIX) + 8
"""Length of the stored prefix, which distinguishes keys in a list. 208 of the 256 random bits stay unknown."""


class ApiKeys:
    def __init__(self, database: Database) -> None:
        self._sessions = database.sessions

    async def create(self, caller: Caller, wanted: NewKey) -> tuple[ApiKey, str]:
        """Create a key. Returns its row and the key itself, which is not stored.

        Raises NotWithAKey, ScopeBeyondRole.
        """
        caller.require_login()
        forbidden = [index for index, scope in enumerate(wanted.scopes) if scope not in caller.scopes]
        if forbidden:
            detail = "Only an admin has this scope."
            errors = [{"pointer": f"/scopes/{index}", "detail": detail} for index in forbidden]
            raise ScopeBeyondRole(detail, extra={"errors": errors})
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        lifetime = dt.timedelta(seconds=wanted.expires_in) if wanted.expires_in else None
        row = ApiKey(
            id=new_id(),
            owner_id=caller.user_id,
            name=wanted.name,
            prefix=key[:PREFIX_CHARS],
            digest=sha256(key.encode()).digest(),
            scopes=sorted(set(wanted.scopes)),
            expires_at=dt.datetime.now(dt.UTC) + lifetime if lifetime else None,
        )
        async with self._sessions.begin() as session:
            session.add(row)
            await session.flush()
            await session.refresh(row)
        return row, key

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """The caller's keys, the newest first. Raises NotWithAKey."""
        caller.require_login()
        async with self._sessions() as session:
            return await queries.page_of_keys(session, caller.user_id, before=before, limit=limit)

    async def revoke(self, caller: Caller, key_id: UUID) -> None:
        """Revoke a key of the caller at once. Raises NotWithAKey, KeyNotFound."""
        caller.require_login()
        async with self._sessions.begin() as session:
            if not await queries.delete_key(session, caller.user_id, key_id):
                raise KeyNotFound
