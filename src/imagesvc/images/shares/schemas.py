"""Request and response bodies of the share routes."""

import datetime as dt
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from imagesvc.http.public_path import public_path
from imagesvc.http.validation import WHOLE
from imagesvc.images.models import Share
from imagesvc.processing.contract import FORMATS, LONG_SIDE

ORIGINAL = "original"
DEFAULT_FORMAT = "webp"
_WHAT_PATTERN = rf"^({ORIGINAL}|({'|'.join(LONG_SIDE)})(\.({'|'.join(FORMATS)}))?)$"


class NewShare(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"expires_in": 86400, "what": "large"}]})

    expires_in: Annotated[int, Field(gt=0, description="seconds"), WHOLE]
    what: Annotated[
        str,
        Field(
            json_schema_extra={"pattern": _WHAT_PATTERN},
            description="`thumb`, `medium`, `large` or `full`, by default as WebP (`large.jpg`: JPEG), or `original`",
        ),
    ] = "large"

    @field_validator("what")
    @classmethod
    def _known_rendition(cls, value: str) -> str:
        preset, dot, form = value.partition(".")
        if value != ORIGINAL and (preset not in LONG_SIDE or (dot and form not in FORMATS)):
            raise ValueError(
                f"Should be `{ORIGINAL}` or one of {', '.join(LONG_SIDE)}, optionally with .{', .'.join(FORMATS)}"
            )
        return value

    @property
    def rendition(self) -> tuple[str, str] | tuple[None, None]:
        """Preset and format; None for the original."""
        if self.what == ORIGINAL:
            return None, None
        preset, _, form = self.what.partition(".")
        return preset, form or DEFAULT_FORMAT


class ShareOut(BaseModel):
    """A share as the image's owner sees it. ``url`` is a secret: everyone who has it sees the file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01995f4e-0000-7c3e-9a8d-0f8e5b7f1a03",
                    "url": "/s/<token>",
                    "what": "large.webp",
                    "state": "open",
                    "created_at": "2026-11-20T09:00:00Z",
                    "expires_at": "2026-11-21T09:00:00Z",
                }
            ]
        }
    )

    id: UUID
    url: str
    what: str
    state: Literal["open", "expired"]
    created_at: dt.datetime
    expires_at: dt.datetime

    @classmethod
    def of(cls, share: Share, *, token: str) -> Self:
        what = ORIGINAL if share.preset is None else f"{share.preset}.{share.format}"
        return cls(
            id=share.id,
            url=public_path(f"/s/{token}"),
            what=what,
            state="open" if share.expires_at > dt.datetime.now(dt.UTC) else "expired",
            created_at=share.created_at,
            expires_at=share.expires_at,
        )
