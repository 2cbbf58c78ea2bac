"""Ask before sending: which of these contents need not be sent again. Nobody learns what others have (invariant 5)."""

from collections.abc import Sequence
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.links.service import OpenLink
from imagesvc.uploads import queries


class ContentCheck:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_caller(self, caller: Caller, hashes: Sequence[str]) -> dict[str, UUID]:
        """SHA-256 (lower case) -> the caller's image of it. What failed or is lost has to be sent again."""
        if "read" not in caller.scopes:
            caller.require("upload")  # sending it would tell the same
        row = await self._database.fetch_row(queries.OWN_CONTENTS, caller.user_id, _bytes(hashes))
        return {sha256.hex(): image_id for sha256, image_id in zip(row["hashes"], row["images"], strict=True)}

    async def of_link(self, link: OpenLink, hashes: Sequence[str]) -> list[str]:
        """Those that were sent through this link; a file that failed, as its receipt says, has to be sent again."""
        row = await self._database.fetch_row(queries.CONTENTS_OF_LINK, link.id, link.owner_id, _bytes(hashes))
        return [sha256.hex() for sha256 in row["hashes"]]


def _bytes(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(sha256) for sha256 in hashes]
