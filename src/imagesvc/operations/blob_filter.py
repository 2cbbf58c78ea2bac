"""Which blobs an operator means: a few plain conditions, all of which have to hold; never a piece of SQL."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy import ColumnElement, Numeric, cast, exists, func

from imagesvc.images.models import Blob, Image
from imagesvc.processing.sniff import EXTENSION_OF

_CONDITION = re.compile(r"\s*([a-z_]+)\s*(=|<)\s*(.+?)\s*", re.DOTALL)
NAMES = "format= camera= state= score_version< uploaded_before= uploaded_after= image="


class BadCondition(ValueError):
    """It cannot be read; the message says what can."""


def _media_type(value: Any) -> Any:
    """``jpeg`` is ``image/jpeg``."""
    known = {name for media_type in EXTENSION_OF for name in (media_type, media_type.removeprefix("image/"))}
    if value not in known:
        raise ValueError(f"formats are {', '.join(sorted(EXTENSION_OF))}")
    return value if value.startswith("image/") else f"image/{value}"


def _in_utc(value: Any) -> Any:
    moment = dt.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


Time = Annotated[dt.datetime, BeforeValidator(_in_utc)]


class Which(BaseModel):
    """``uploaded_…`` is when the file first came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[str, BeforeValidator(_media_type)] | None = None
    camera: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]+$")] | None = None
    state: Literal["ready", "rejected", "failed"] = "ready"
    score_version_below: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    uploaded_before: Time | None = None
    uploaded_after: Time | None = None
    image: UUID | None = None

    @classmethod
    def read(cls, written: Iterable[str]) -> Self:
        """From ``format=jpeg``, ``score_version<2`` and so on. Raises BadCondition."""
        found: dict[str, str] = {}
        for condition in written:
            match = _CONDITION.fullmatch(condition)
            name = f"{match[1]}_below" if match and match[2] == "<" else match[1] if match else ""
            if match is None or name not in cls.model_fields or (name.endswith("_below") and match[2] == "="):
                raise BadCondition(f"{condition!r} is no condition; there are {NAMES}")
            if name in found:
                raise BadCondition(f"{match[1]} is given twice")
            found[name] = match[3]
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise BadCondition(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None

    def conditions(self) -> list[ColumnElement[bool]]:
        """On ``blobs``."""
        found = [Blob.state == self.state]
        if self.format is not None:
            found.append(Blob.media_type == self.format)
        if self.camera is not None:
            found.append(func.lower(Blob.camera) == self.camera.lower())
        if self.score_version_below is not None:
            version = func.coalesce(cast(Blob.score["version"].astext, Numeric), 0)
            found.append(version < self.score_version_below)
        if self.uploaded_before is not None:
            found.append(Blob.created_at < self.uploaded_before)
        if self.uploaded_after is not None:
            found.append(Blob.created_at >= self.uploaded_after)
        if self.image is not None:
            found.append(exists().where(Image.id == self.image, Image.blob_id == Blob.id))
        return found
