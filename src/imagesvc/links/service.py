"""Creates, changes and revokes upload links, and opens a link by its token."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.keyring import KeyRing
from imagesvc.links import queries
from imagesvc.links.errors import (
    BadLinkToken,
    LinkExpired,
    LinkLifetime,
    LinkLimitBelowUse,
    LinkNotFound,
    LinkRevoked,
)
from imagesvc.links.models import Link
from imagesvc.links.queries import LinkToOpen
from imagesvc.links.schemas import LinkChanges, NewLink, RemainingLimit
from imagesvc.settings import Settings
from imagesvc.signed_tokens import Tokens

IN_THE_PAST = "The time is in the past."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenLink:
    """A link that was valid when the request began. ``max_file_bytes`` never exceeds the service's own limit.

    ``is_used_up``: the link takes no more files, even if all uploads in progress fail.
    """

    id: UUID
    owner_id: UUID
    label: str | None
    expires_at: dt.datetime
    max_file_bytes: int
    remaining: RemainingLimit
    is_used_up: bool
    visibility: str
    store_id: str | None
    camera_id: str | None


class Links:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        self._max_seconds = settings.link_max_seconds
        self._max_file_bytes = settings.max_file_bytes
        self._database = database
        self._sessions = database.sessions
        self._tokens = Tokens(
            keys, "link", type="link+jwt", claims={"jti": UUID}, bad=BadLinkToken, expired=LinkExpired
        )

    def token(self, link: Link) -> str:
        """The link's token. It is built from the row each time and never stored."""
        return self._tokens.issue({"jti": link.id}, issued_at=link.created_at, expires_at=link.expires_at)

    async def create(self, caller: Caller, wanted: NewLink, *, link_id: UUID) -> Link:
        """Create a link, or return the link that has this id already. Raises LinkLifetime, Forbidden."""
        caller.require("links")
        columns = wanted.model_dump(exclude={"expires_in", "expires_at"})
        columns |= {"owner_id": caller.user_id, "expires_at": self._expiry(wanted, dt.datetime.now(dt.UTC))}
        async with self._sessions.begin() as session:
            await queries.insert_link_once(session, link_id, columns)
            link = await queries.link_of(session, caller, link_id)
        if link is None:
            raise LinkNotFound
        return link

    def _expiry(self, wanted: NewLink, now: dt.datetime) -> dt.datetime:
        if (wanted.expires_in is None) == (wanted.expires_at is None):
            raise LinkLifetime(errors=[_error("/expires_in", "Give exactly one of expires_in and expires_at.")])
        if wanted.expires_at is not None:
            pointer, lifetime = "/expires_at", wanted.expires_at - now
        else:
            # bounded first: a JSON number can be larger than a timedelta holds
            seconds = min(wanted.expires_in or 0, self._max_seconds + 1)
            pointer, lifetime = "/expires_in", dt.timedelta(seconds=seconds)
        if lifetime <= dt.timedelta(0):
            raise LinkLifetime(errors=[_error(pointer, IN_THE_PAST)])
        if lifetime > dt.timedelta(seconds=self._max_seconds):
            raise LinkLifetime(errors=[_error(pointer, f"The maximum is {self._max_seconds} seconds from now.")])
        return wanted.expires_at or now + lifetime

    async def get(self, caller: Caller, link_id: UUID) -> Link:
        """Raises LinkNotFound, Forbidden."""
        caller.require("links")
        async with self._sessions() as session:
            link = await queries.link_of(session, caller, link_id)
        if link is None:
            raise LinkNotFound
        return link

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[Link]:
        """The caller's links, or all for an admin, the newest first. Raises Forbidden."""
        caller.require("links")
        async with self._sessions() as session:
            return await queries.page_of_links(session, caller, before=before, limit=limit)

    async def change(self, caller: Caller, link_id: UUID, changes: LinkChanges) -> Link:
        """Shorten a link or change its limits. Raises LinkNotFound, LinkLifetime, LinkLimitBelowUse, Forbidden."""
        caller.require("links")
        async with self._sessions.begin() as session:
            link = await queries.lock_link(session, caller, link_id)
            if link is None:
                raise LinkNotFound
            _check_changes(link, changes)
            for name in changes.model_fields_set:
                setattr(link, name, getattr(changes, name))
        return link

    async def revoke(self, caller: Caller, link_id: UUID) -> None:
        """Revoke a link at once. Uploads that are admitted already stay. Raises LinkNotFound, Forbidden."""
        caller.require("links")
        async with self._sessions.begin() as session:
            link = await queries.lock_link(session, caller, link_id)
            if link is None:
                raise LinkNotFound
            if link.revoked_at is None:
                link.revoked_at = func.now()

    async def open(self, token: str, *, is_expired_allowed: bool = False) -> OpenLink:
        """The link of a token, read when a request begins. Raises BadLinkToken, LinkExpired, LinkRevoked.

        ``is_expired_allowed`` is for requests that continue an upload which began before the link expired.
        """
        link_id = self._tokens.verify(token, is_expired_allowed=is_expired_allowed)["jti"]
        row = await self._database.fetch_one_or_none(queries.LINK_TO_OPEN, LinkToOpen, link_id)
        if row is None or row.revoked_at is not None:
            raise LinkRevoked
        if row.expired and not is_expired_allowed:
            raise LinkExpired
        return OpenLink(
            id=row.id,
            owner_id=row.owner_id,
            label=row.label,
            expires_at=row.expires_at,
            max_file_bytes=min(self._max_file_bytes, row.max_file_bytes or self._max_file_bytes),
            remaining=RemainingLimit(
                files=_remaining(row.max_files, row.used_files + row.reserved_files),
                bytes=_remaining(row.max_bytes, row.used_bytes + row.reserved_bytes),
            ),
            is_used_up=_remaining(row.max_files, row.used_files) == 0 or _remaining(row.max_bytes, row.used_bytes) == 0,
            visibility=row.visibility,
            store_id=row.store_id,
            camera_id=row.camera_id,
        )


def _check_changes(link: Link, changes: LinkChanges) -> None:
    """Raises LinkLifetime, LinkLimitBelowUse."""
    if "expires_at" in changes.model_fields_set:
        expires_at = changes.expires_at
        if expires_at is None or expires_at > link.expires_at:
            raise LinkLifetime(errors=[_error("/expires_at", "A link can only be shortened. Create a new one.")])
        if expires_at <= dt.datetime.now(dt.UTC):
            raise LinkLifetime(errors=[_error("/expires_at", f"{IN_THE_PAST} Use DELETE to revoke the link.")])
    for pointer, limit, used in (
        ("/max_files", changes.max_files, link.used_files + link.reserved_files),
        ("/max_bytes", changes.max_bytes, link.used_bytes + link.reserved_bytes),
    ):
        if limit is not None and limit < used:
            raise LinkLimitBelowUse(errors=[_error(pointer, f"{used} are already used or reserved.")])


def _remaining(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def _error(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}
