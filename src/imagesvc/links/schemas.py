"""Request and response bodies of the link routes."""

import datetime as dt
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from imagesvc.http.timestamps import Timestamp
from imagesvc.http.validation import WHOLE
from imagesvc.links import examples
from imagesvc.links.models import Link

ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
]
Visibility = Literal["private", "public"]
LinkState = Literal["open", "expired", "revoked", "used-up"]
Count = Annotated[int, Field(gt=0, le=2**40), WHOLE]


class NewLink(BaseModel):
    """One of ``expires_in`` (seconds) and ``expires_at`` is required."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"expires_in": 3600, "label": "Stocktaking", "max_files": 20}]},
    )

    expires_in: Annotated[int, Field(gt=0), WHOLE] | None = None
    expires_at: Timestamp | None = None
    label: ShortText | None = None
    max_files: Count | None = None
    max_bytes: Count | None = None
    max_file_bytes: Count | None = None
    visibility: Visibility = "private"
    store_id: ShortText | None = None
    camera_id: ShortText | None = None


class LinkChanges(BaseModel):
    """Members that are absent stay as they are. A link can be shortened, not extended."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"expires_at": "2036-11-20T18:00:00+01:00", "max_files": 10}]}
    )

    expires_at: Timestamp | None = None
    label: ShortText | None = None
    max_files: Count | None = None
    max_bytes: Count | None = None
    max_file_bytes: Count | None = None


class LinkOut(BaseModel):
    """A link as its owner sees it. ``url`` and ``token`` are secrets: everyone who has one can upload."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.LINK]})

    id: UUID
    url: str
    token: str
    label: str | None
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    state: LinkState
    max_files: int | None
    max_bytes: int | None
    max_file_bytes: int | None
    used_files: int
    used_bytes: int
    reserved_files: int
    reserved_bytes: int
    visibility: Visibility
    store_id: str | None
    camera_id: str | None

    @classmethod
    def of(cls, link: Link, *, token: str, base_url: str, now: dt.datetime) -> Self:
        columns = {name: getattr(link, name) for name in cls.model_fields if name not in {"url", "token", "state"}}
        return cls(url=f"{base_url}/u/{token}", token=token, state=link_state(link, now), **columns)


def link_state(link: Link, now: dt.datetime) -> LinkState:
    if link.revoked_at is not None:
        return "revoked"
    if link.expires_at <= now:
        return "expired"
    if link.max_files is not None and link.used_files >= link.max_files:
        return "used-up"
    if link.max_bytes is not None and link.used_bytes >= link.max_bytes:
        return "used-up"
    return "open"


class RemainingLimit(BaseModel):
    """What the link still accepts; null where the link has no limit."""

    files: int | None
    bytes: int | None
