"""The conditions that select blobs for an operator. All of them must hold. They never contain SQL."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy import ColumnElement, Numeric, cast, exists, func

from imagesvc.images.models import Blob, Image
from imagesvc.processing.sniff import EXTENSION_OF

_CONDITION = re.compile(r"\s*([a-z_]+)\s*(=|<)\s*(.+?)\s*", re.DOTALL)
MAX_IMAGES = 500
SYNTAX = "format= camera= state= score_version< uploaded_before= uploaded_after= image="


class InvalidCondition(ValueError):
    """The condition cannot be parsed. The message lists the valid ones."""


def _media_type(value: object) -> str:
    """`jpeg` is short for `image/jpeg`."""
    known = {name for media_type in EXTENSION_OF for name in (media_type, media_type.removeprefix("image/"))}
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"formats are {', '.join(sorted(EXTENSION_OF))}")
    return value if value.startswith("image/") else f"image/{value}"


def _in_utc(value: object) -> dt.datetime:
    time = dt.datetime.fromisoformat(str(value))
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


Time = Annotated[dt.datetime, BeforeValidator(_in_utc)]


class BlobFilter(BaseModel):
    """``uploaded_…`` compare the time of the first upload of the content. ``image`` is one image or several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[str, BeforeValidator(_media_type)] | None = None
    camera: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]+$")] | None = None
    state: Literal["ready", "rejected", "failed"] = "ready"
    score_version_below: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    uploaded_before: Time | None = None
    uploaded_after: Time | None = None
    image: UUID | Annotated[tuple[UUID, ...], Field(max_length=MAX_IMAGES)] | None = None

    @classmethod
    def parse(cls, conditions: Iterable[str]) -> Self:
        """Parse conditions such as `format=jpeg` and `score_version<2`. Raises InvalidCondition."""
        values: dict[str, str] = {}
        for condition in conditions:
            match = _CONDITION.fullmatch(condition)
            name = f"{match[1]}_below" if match and match[2] == "<" else match[1] if match else ""
            if match is None or name not in cls.model_fields or (name.endswith("_below") and match[2] == "="):
                raise InvalidCondition(f"{condition!r} is not a condition; the conditions are {SYNTAX}")
            if name in values:
                raise InvalidCondition(f"{match[1]} occurs twice")
            values[name] = match[3]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise InvalidCondition(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None

    def clauses(self) -> list[ColumnElement[bool]]:
        """The conditions as clauses on the table `blobs`."""
        clauses = [Blob.state == self.state]
        if self.format is not None:
            clauses.append(Blob.media_type == self.format)
        if self.camera is not None:
            clauses.append(func.lower(Blob.camera) == self.camera.lower())
        if self.score_version_below is not None:
            version = func.coalesce(cast(Blob.score["version"].astext, Numeric), 0)
            clauses.append(version < self.score_version_below)
        if self.uploaded_before is not None:
            clauses.append(Blob.created_at < self.uploaded_before)
        if self.uploaded_after is not None:
            clauses.append(Blob.created_at >= self.uploaded_after)
        if self.image is not None:
            ids = self.image if isinstance(self.image, tuple) else (self.image,)
            clauses.append(exists().where(Image.id.in_(ids), Image.blob_id == Blob.id))
        return clauses
