"""Where an upload came from, and the limits that apply to it."""

import dataclasses
from uuid import UUID

from imagesvc.links.service import OpenLink
from imagesvc.uploads.models import Way


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadSource:
    """``owner_id`` will own the image. ``batch_id`` is the request's batch; None for ways that create no batch."""

    owner_id: UUID
    way: Way
    max_file_bytes: int
    batch_id: UUID | None
    link: OpenLink | None = None

    @property
    def link_id(self) -> UUID | None:
        return self.link.id if self.link else None
