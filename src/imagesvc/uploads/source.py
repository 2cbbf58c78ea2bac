"""Where an upload came from: who will own the image, and the limits that apply to it."""

import dataclasses
from typing import Literal
from uuid import UUID

from imagesvc.links.service import OpenLink

Way = Literal["link", "user", "batch", "tus", "job"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadSource:
    """``batch_id`` is the request's; None for ways that make no batch."""

    owner_id: UUID
    way: Way
    max_file_bytes: int
    batch_id: UUID | None
    link: OpenLink | None = None
