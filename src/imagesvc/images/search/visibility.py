"""The images that a caller may search, as sets that an index lists in the order of the result.

A visible set is the images of one visibility, of one owner or of all owners. A caller sees at most two of them. They
are searched one by one and merged, because no index gives an order for a condition on visibility OR owner.
"""

import dataclasses
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.images.search.schemas import ME, ImageSearch

OWNER_FILTERS = (
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
"""Filters on members that only the owner and admins see (invariant 10)."""
VISIBILITIES = ("public", "private")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisibleSet:
    """``owner_id`` None: of all owners."""

    visibility: str
    owner_id: UUID | None = None


def visible_sets(caller: Caller | None, wanted: ImageSearch) -> list[VisibleSet]:
    """Empty when nothing can match. ``owner=me`` requires a caller."""
    me = caller.user_id if caller else None
    sees_all = caller is not None and caller.is_admin
    owner = me if wanted.owner == ME else UUID(wanted.owner) if wanted.owner else None
    if not sees_all and any(getattr(wanted, name) is not None for name in OWNER_FILTERS):
        if me is None or owner not in (None, me):
            return []
        owner = me
    private_of = None if sees_all else me
    sets = [VisibleSet(visibility="public", owner_id=owner)]
    if sees_all or (private_of is not None and owner in (None, private_of)):
        sets.append(VisibleSet(visibility="private", owner_id=owner or private_of))
    return [visible for visible in sets if wanted.visibility in (None, visible.visibility)]
