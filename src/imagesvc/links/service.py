"""Invite, tighten, withdraw; and open a link for whoever holds its token."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.keyring import KeyRing
from imagesvc.links import queries, tokens
from imagesvc.links.errors import LinkExpired, LinkLifetime, LinkLimitBelowUse, LinkNotFound, LinkRevoked
from imagesvc.links.models import Link
from imagesvc.links.schemas import LinkChanges, NewLink, Room
from imagesvc.settings import Settings

IN_THE_PAST = "This lies in the past."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenLink:
    """A link that was valid when the request began. ``max_file_bytes`` is never above the service's own."""

    id: UUID
    owner_id: UUID
    label: str | None
    expires_at: dt.datetime
    max_file_bytes: int
    room: Room
    visibility: str
    store_id: str | None
    camera_id: str | None


class Links:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        self._settings = settings
        self._database = database
        self._sessions = database.sessions
        self._keys = keys
        self._verifier = tokens.Verifier(keys)

    def token(self, link: Link) -> str:
        """The link's token: made anew from the row whenever it is asked for, never stored."""
        return tokens.issue(self._keys, link.id, created_at=link.created_at, expires_at=link.expires_at)

    async def create(self, caller: Caller, wanted: NewLink, *, link_id: UUID) -> Link:
        """Invite somebody to upload; again with the same id: the same link. Raises LinkLifetime, Forbidden."""
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
        most = self._settings.link_max_seconds
        if (wanted.expires_in is None) == (wanted.expires_at is None):
            raise LinkLifetime(errors=[_wrong("/expires_in", "Give exactly one of expires_in and expires_at.")])
        if wanted.expires_at is not None:
            pointer, ahead = "/expires_at", wanted.expires_at - now
        else:
            # cut first: a timedelta has room for fewer digits than JSON
            pointer, ahead = "/expires_in", dt.timedelta(seconds=min(wanted.expires_in or 0, most + 1))
        if ahead <= dt.timedelta(0):
            raise LinkLifetime(errors=[_wrong(pointer, IN_THE_PAST)])
        if ahead > dt.timedelta(seconds=most):
            raise LinkLifetime(errors=[_wrong(pointer, f"At most {most} seconds ahead.")])
        return wanted.expires_at or now + ahead

    async def get(self, caller: Caller, link_id: UUID) -> Link:
        caller.require("links")
        async with self._sessions() as session:
            link = await queries.link_of(session, caller, link_id)
        if link is None:
            raise LinkNotFound
        return link

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[Link]:
        caller.require("links")
        async with self._sessions() as session:
            return await queries.page_of_links(session, caller, before=before, limit=limit)

    async def change(self, caller: Caller, link_id: UUID, changes: LinkChanges) -> Link:
        """Tighten a link. Raises LinkNotFound, LinkLifetime, LinkLimitBelowUse."""
        caller.require("links")
        wanted = changes.model_dump(exclude_unset=True)
        async with self._sessions.begin() as session:
            link = await queries.lock_link(session, caller, link_id)
            if link is None:
                raise LinkNotFound
            if "expires_at" in wanted:
                expires_at = wanted["expires_at"]
                if expires_at is None or expires_at > link.expires_at:
                    raise LinkLifetime(errors=[_wrong("/expires_at", "A link can only be shortened; make a new one.")])
                if expires_at <= dt.datetime.now(dt.UTC):
                    raise LinkLifetime(errors=[_wrong("/expires_at", f"{IN_THE_PAST} DELETE withdraws a link.")])
            for name, taken in (
                ("max_files", link.used_files + link.reserved_files),
                ("max_bytes", link.used_bytes + link.reserved_bytes),
            ):
                if wanted.get(name) is not None and wanted[name] < taken:
                    raise LinkLimitBelowUse(errors=[_wrong(f"/{name}", f"{taken} are already taken or reserved.")])
            for name, value in wanted.items():
                setattr(link, name, value)
        return link

    async def revoke(self, caller: Caller, link_id: UUID) -> None:
        """Stop a link at once; uploads already admitted stay. Raises LinkNotFound."""
        caller.require("links")
        async with self._sessions.begin() as session:
            link = await queries.lock_link(session, caller, link_id)
            if link is None:
                raise LinkNotFound
            if link.revoked_at is None:
                link.revoked_at = func.now()

    async def open(self, token: str, *, is_expired_allowed: bool = False) -> OpenLink:
        """The link behind a token, when a request begins. Raises BadLinkToken, LinkExpired, LinkRevoked.

        ``is_expired_allowed`` is for going on with what was begun in time.
        """
        link_id = self._verifier.verify(token, is_expired_allowed=is_expired_allowed)
        row = await self._database.fetch_row(queries.USABLE_LINK, link_id)
        if row is None or row["revoked_at"] is not None:
            raise LinkRevoked
        if row["expired"] and not is_expired_allowed:
            raise LinkExpired
        ours = self._settings.max_file_bytes
        return OpenLink(
            id=row["id"],
            owner_id=row["owner_id"],
            label=row["label"],
            expires_at=row["expires_at"],
            max_file_bytes=min(ours, row["max_file_bytes"] or ours),
            room=Room(
                files=_left(row["max_files"], row["used_files"] + row["reserved_files"]),
                bytes=_left(row["max_bytes"], row["used_bytes"] + row["reserved_bytes"]),
            ),
            visibility=row["visibility"],
            store_id=row["store_id"],
            camera_id=row["camera_id"],
        )


def _left(most: int | None, taken: int) -> int | None:
    return None if most is None else max(0, most - taken)


def _wrong(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}
