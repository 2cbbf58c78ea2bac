"""The query parameters of a search, and how each is read."""

import datetime as dt
import re
from math import isfinite
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from imagesvc.http.timestamps import Timestamp
from imagesvc.images.search.geo_index import Circle
from imagesvc.processing.sniff import EXTENSION_OF

ME = "me"
MAX_PAGE = 200
MEDIA_TYPE_OF: dict[str, str] = {
    **{media_type: media_type for media_type in EXTENSION_OF},
    **{media_type.removeprefix("image/"): media_type for media_type in EXTENSION_OF},
    **{extension: media_type for media_type, extension in EXTENSION_OF.items()},
}
"""By each accepted spelling of ``format``: `image/jpeg`, `jpeg`, `jpg`."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SPACE_FOR_PLUS = re.compile(r" (?=\d{2}:?\d{2}$)", re.ASCII)
_in_calendar: TypeAdapter[dt.datetime] = TypeAdapter(Timestamp)
_as_written: TypeAdapter[dt.datetime] = TypeAdapter(AwareDatetime)


def _time(value: object, *, of_day: dt.time) -> object:
    """Keeps the offset of the text. A day is ``of_day`` in UTC. Raises ValueError."""
    if not isinstance(value, str):
        return value
    text = _SPACE_FOR_PLUS.sub("+", value.strip())  # a plus sign in a query string decodes to a space
    try:
        if _DAY.fullmatch(text):
            return dt.datetime.combine(dt.date.fromisoformat(text), of_day, dt.UTC)
        _in_calendar.validate_python(text)
        return _as_written.validate_python(text)
    except (ValueError, ValidationError):
        raise ValueError("Should be an RFC 3339 time with an offset, or a day (2026-11-20)") from None


def _circle(value: object) -> object:
    """Parses `latitude,longitude,kilometres`. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        latitude, longitude, km = (float(number) for number in value.split(","))
    except ValueError:
        raise ValueError("Should be three numbers: latitude, longitude, kilometres") from None
    if not -90 <= latitude <= 90:
        raise ValueError("The latitude should be between -90 and 90")
    if not -180 <= longitude <= 180:
        raise ValueError("The longitude should be between -180 and 180")
    if not (isfinite(km) and km > 0):
        raise ValueError("The distance should be more than 0 kilometres")
    return Circle(latitude=latitude, longitude=longitude, km=km)


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("NUL is not allowed")
    return value


def _media_type(value: str) -> str:
    if (media_type := MEDIA_TYPE_OF.get(value.lower())) is None:
        raise ValueError(f"Should be one of {', '.join(sorted(set(MEDIA_TYPE_OF.values())))}")
    return media_type


def _owner(value: str) -> str:
    try:
        return value if value == ME else str(UUID(value))
    except ValueError:
        raise ValueError("Should be `me` or the id of an account") from None


_OWNER_SCHEMA = WithJsonSchema({"type": "string", "anyOf": [{"const": ME}, {"format": "uuid"}]})
_FORMAT_SCHEMA = WithJsonSchema({"type": "string", "enum": sorted({*MEDIA_TYPE_OF, *MEDIA_TYPE_OF.values()})})
_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
From = Annotated[dt.datetime, BeforeValidator(lambda value: _time(value, of_day=dt.time.min)), _TIME]
To = Annotated[dt.datetime, BeforeValidator(lambda value: _time(value, of_day=dt.time.max)), _TIME]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
Near = Annotated[Circle, BeforeValidator(_circle), WithJsonSchema({"type": "string", "examples": ["48.858,2.294,5"]})]

Sort = Literal["-created_at", "created_at", "-captured", "captured", "-score", "score"]
OWN_ONLY = "searches your own images only (an admin: all)"


class ImageSearch(BaseModel):
    """All given filters must match. A filter on a member that only the owner sees searches the caller's own images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[str, Field(max_length=200), AfterValidator(_no_nul)] | None = Field(
        None, description="part of the title or description, case-insensitive; for your own images also of a filename"
    )
    owner: Annotated[str, AfterValidator(_owner), _OWNER_SCHEMA] | None = Field(
        None, description="`me`, or the id of an account"
    )
    visibility: Literal["private", "public"] | None = Field(None, description="`private` or `public`")
    state: Literal["pending", "ready", "rejected", "failed"] | None = Field(None, description="state of the processing")
    format: Annotated[str, AfterValidator(_media_type), _FORMAT_SCHEMA] | None = Field(
        None, description="of the original: `image/jpeg`, or just `jpeg`"
    )
    min_score: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="0 to 100")
    uploaded_from: From | None = Field(None, description="earliest time: RFC 3339 with an offset, or a day in UTC")
    uploaded_to: To | None = Field(None, description="latest time: RFC 3339 with an offset, or a whole day in UTC")

    store_id: Text | None = Field(None, description=f"of an upload; {OWN_ONLY}")
    store_name: Text | None = Field(None, description=f"of an upload; {OWN_ONLY}")
    camera_id: Text | None = Field(None, description=f"of an upload; {OWN_ONLY}")
    barcode: Text | None = Field(None, description=f"of an upload; {OWN_ONLY}")
    link_id: UUID | None = Field(None, description=f"uploaded through this link; {OWN_ONLY}")
    batch_id: UUID | None = Field(None, description=f"uploaded in this batch; {OWN_ONLY}")
    camera_model: Text | None = Field(None, description=f"in any case and width of letters; {OWN_ONLY}")
    captured_from: From | None = Field(
        None,
        description=f"earliest capture time; compared with the camera's clock if its offset is unknown; {OWN_ONLY}",
    )
    captured_to: To | None = Field(None, description=f"latest capture time; {OWN_ONLY}")
    near: Near | None = Field(
        None, description=f"`latitude,longitude,kilometres`: captured within this distance; {OWN_ONLY}"
    )

    sort: Sort = Field(
        "-created_at",
        description="a leading `-` sorts downwards; `captured` requires `owner=me`; unknown values sort as smallest",
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: str | None = Field(None, description="`next_cursor` of the previous page of the same search")

    @field_validator("q")
    @classmethod
    def _trimmed(cls, value: str | None) -> str | None:
        return (value or "").strip() or None

    @field_validator("uploaded_to", "captured_to")
    @classmethod
    def _not_before_start(cls, value: dt.datetime | None, info: ValidationInfo) -> dt.datetime | None:
        start = info.data.get(str(info.field_name).replace("_to", "_from"))
        if value is not None and start is not None and value < start:
            raise ValueError("Should not be earlier than the start of the range")
        return value

    @field_validator("sort")
    @classmethod
    def _among_own(cls, value: str, info: ValidationInfo) -> str:
        if value.endswith("captured") and "owner" in info.data and info.data["owner"] != ME:
            raise ValueError("Only your own images can be sorted by capture time: add `owner=me`")
        return value

    def conditions(self) -> dict[str, object]:
        """The filters and the order, to which a cursor belongs."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)
