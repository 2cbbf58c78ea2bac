"""Among which images a caller may look: lanes, each of which an index lists in the order of the answer.

A lane is the images of one visibility, of one owner or of all. What somebody may see is at most two lanes, and never a
condition on both visibility and owner at once, which no index could follow.
"""

import dataclasses
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.images.search.schemas import ME, ImageSearch

HIDDEN = (
    "store_id",
    "store_name",
    "camera_id",
    "barcode",
    "link_id",
    "batch_id",
    "camera_model",
    "captured_from",
    "captured_to",
    "near",
)
"""Filters on what only the owner and admins see (invariant 10)."""
VISIBILITIES = ("public", "private")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    visibility: str
    owner_id: UUID | None = None


def lanes_of(caller: Caller | None, wanted: ImageSearch) -> list[Lane]:
    """None when nothing can match. ``owner=me`` needs a caller."""
    me = caller.user_id if caller else None
    sees_all = caller is not None and caller.is_admin
    owner = me if wanted.owner == ME else UUID(wanted.owner) if wanted.owner else None
    if not sees_all and any(getattr(wanted, name) is not None for name in HIDDEN):
        if me is None or owner not in (None, me):
            return []
        owner = me
    private = None if sees_all else me
    lanes = [Lane(visibility="public", owner_id=owner)]
    if sees_all or (private is not None and owner in (None, private)):
        lanes.append(Lane(visibility="private", owner_id=owner or private))
    return [lane for lane in lanes if wanted.visibility in (None, lane.visibility)]
