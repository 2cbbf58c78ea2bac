"""Reports which contents need not be sent. A caller learns nothing about the files of others (invariant 5)."""

from collections.abc import Sequence
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.links.service import OpenLink
from imagesvc.uploads import queries
from imagesvc.uploads.queries import LinkContentRow, OwnContentRow


class ContentCheck:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_caller(self, caller: Caller, hashes: Sequence[str]) -> dict[str, UUID]:
        """The caller's images by their SHA-256 in lower case.

        An image that failed or has lost its object is absent: it must be sent again.
        """
        if "read" not in caller.scopes:
            caller.require("upload")  # an upload would reveal the same
        rows = await self._database.fetch_all(queries.OWN_CONTENTS, OwnContentRow, caller.user_id, _digests(hashes))
        return {row.sha256.hex(): row.image_id for row in rows}

    async def of_link(self, link: OpenLink, hashes: Sequence[str]) -> list[str]:
        """The hashes of files that were sent through this link.

        A file whose receipt says that it failed is absent: it must be sent again.
        """
        rows = await self._database.fetch_all(
            queries.CONTENTS_OF_LINK, LinkContentRow, link.id, link.owner_id, _digests(hashes)
        )
        return [row.sha256.hex() for row in rows]


def _digests(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(sha256) for sha256 in hashes]
