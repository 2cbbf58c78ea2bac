"""Creates, lists and withdraws shares, and opens a share by its token."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.models import Share
from imagesvc.images.service import Images
from imagesvc.images.shares import queries
from imagesvc.images.shares.errors import BadShareToken, ShareEnded, ShareExpired, ShareLifetime, ShareNotFound
from imagesvc.images.shares.queries import SharedRow
from imagesvc.images.shares.schemas import NewShare, ShareOut
from imagesvc.keyring import KeyRing
from imagesvc.processing.contract import MEDIA_TYPE_OF_FORMAT
from imagesvc.processing.sniff import EXTENSION_OF
from imagesvc.settings import Settings
from imagesvc.signed_tokens import Tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """The stored file that a share shows. ``filename`` is set for an original, which is a download."""

    key: str
    sha256: bytes
    bytes: int
    media_type: str
    filename: str | None


class Shares:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing, images: Images) -> None:
        self._max_seconds = settings.share_max_seconds
        self._database = database
        self._images = images
        self._tokens = Tokens(
            keys, "share", type="share+jwt", claims={"jti": UUID}, bad=BadShareToken, expired=ShareExpired
        )

    async def create(self, caller: Caller, image_id: UUID, wanted: NewShare) -> ShareOut:
        """Share an image of the caller. Raises Forbidden, ImageNotFound, ShareLifetime."""
        _require_rights(caller)
        if wanted.expires_in > self._max_seconds:
            detail = f"The maximum is {self._max_seconds} seconds."
            raise ShareLifetime(detail, errors=[{"pointer": "/expires_in", "detail": detail}])
        preset, form = wanted.rendition
        expires_at = func.now() + dt.timedelta(seconds=wanted.expires_in)
        share = Share(id=new_id(), image_id=image_id, preset=preset, format=form, expires_at=expires_at)
        async with self._database.sessions.begin() as session:
            if not await queries.lock_image_to_share(session, caller, image_id):
                raise ImageNotFound
            session.add(share)
            await session.flush()
            await session.refresh(share)
        return self._out(share)

    async def page(self, caller: Caller, image_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ShareOut]:
        """The image's shares, the newest first. Raises Forbidden, ImageNotFound."""
        _require_rights(caller)
        async with self._database.sessions.begin() as session:
            if not await queries.lock_image_to_share(session, caller, image_id):
                raise ImageNotFound
            found = await queries.page_of_shares(session, image_id, before=before, limit=limit)
        return [self._out(share) for share in found]

    async def withdraw(self, caller: Caller, image_id: UUID, share_id: UUID) -> None:
        """Withdraw a share at once. Raises Forbidden, ShareNotFound."""
        _require_rights(caller)
        async with self._database.sessions.begin() as session:
            if not await queries.lock_image_to_share(session, caller, image_id):
                raise ShareNotFound
            if not await queries.delete_share(session, image_id, share_id):
                raise ShareNotFound

    async def open(self, token: str) -> SharedFile:
        """The file that a token shows. A missing rendition is made first.

        Raises BadShareToken, ShareExpired, ShareEnded; for a rendition also NoRendition, RenditionNotReady.
        """
        share_id = self._tokens.verify(token).uuid("jti")
        row = await self._read(share_id)
        if row.preset is None or row.format is None:
            return _original(row)

        async def read_again() -> SharedRow:
            return await self._read(share_id)

        found = await self._images.ensure_rendition(read_again, row.preset, row.format)
        media_type = MEDIA_TYPE_OF_FORMAT[row.format]
        return SharedFile(key=found.key, sha256=found.sha256, bytes=found.bytes, media_type=media_type, filename=None)

    async def _read(self, share_id: UUID) -> SharedRow:
        row = await self._database.fetch_one_or_none(queries.SHARED_FILE, SharedRow, share_id)
        if row is None:
            raise ShareEnded
        if row.expired:
            raise ShareExpired
        return row

    def _out(self, share: Share) -> ShareOut:
        token = self._tokens.issue({"jti": share.id}, issued_at=share.created_at, expires_at=share.expires_at)
        return ShareOut.of(share, token=token)


def _original(row: SharedRow) -> SharedFile:
    assert row.key is not None and row.sha256 is not None and row.bytes is not None  # noqa: S101, PT018 - every blob has them
    filename = row.filename or f"{row.title}.{EXTENSION_OF[row.media_type]}"
    return SharedFile(key=row.key, sha256=row.sha256, bytes=row.bytes, media_type=row.media_type, filename=filename)


def _require_rights(caller: Caller) -> None:
    """A share lets others read, so it requires the right to read too."""
    caller.require("upload")
    caller.require("read")
