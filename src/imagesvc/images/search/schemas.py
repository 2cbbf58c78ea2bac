"""What a search may ask for, and its page of images."""

import datetime as dt
import re
from math import isfinite
from typing import Annotated, Any, Literal
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
LARGEST_PAGE = 200
MEDIA_TYPE_OF: dict[str, str] = {
    **{media_type: media_type for media_type in EXTENSION_OF},
    **{media_type.removeprefix("image/"): media_type for media_type in EXTENSION_OF},
    **{extension: media_type for media_type, extension in EXTENSION_OF.items()},
}

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SPACE_FOR_PLUS = re.compile(r" (?=\d{2}:?\d{2}$)", re.ASCII)
_in_calendar: TypeAdapter[dt.datetime] = TypeAdapter(Timestamp)
_as_written: TypeAdapter[dt.datetime] = TypeAdapter(AwareDatetime)


def _time(value: Any, *, of_day: dt.time) -> Any:
    """With the offset that was written; a day's ``of_day`` in UTC."""
    if not isinstance(value, str):
        return value
    text = _SPACE_FOR_PLUS.sub("+", value.strip())  # what a URL makes of a plus sign
    try:
        if _DAY.fullmatch(text):
            return dt.datetime.combine(dt.date.fromisoformat(text), of_day, dt.UTC)
        _in_calendar.validate_python(text)
        return _as_written.validate_python(text)
    except (ValueError, ValidationError):
        raise ValueError("An RFC 3339 time with its offset, or a day (2026-11-20), is needed") from None


def _circle(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    wanted = "Three numbers are needed: latitude, longitude, kilometres"
    try:
        latitude, longitude, km = (float(number) for number in value.split(","))
    except ValueError:
        raise ValueError(wanted) from None
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
        raise ValueError("Should be `me` or an account's id") from None


_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
From = Annotated[dt.datetime, BeforeValidator(lambda value: _time(value, of_day=dt.time.min)), _TIME]
To = Annotated[dt.datetime, BeforeValidator(lambda value: _time(value, of_day=dt.time.max)), _TIME]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
Near = Annotated[Circle, BeforeValidator(_circle), WithJsonSchema({"type": "string", "examples": ["48.858,2.294,5"]})]

Sort = Literal["-created_at", "created_at", "-captured", "captured", "-score", "score"]
OWN = "your own images only (an admin: all)"


class ImageSearch(BaseModel):
    """All that is given has to hold. What is hidden from others is looked for among the caller's own images only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[str, Field(max_length=200), AfterValidator(_no_nul)] | None = Field(
        None, description="part of the title or the description, in any case; of your own images also of a filename"
    )
    owner: Annotated[str, AfterValidator(_owner)] | None = Field(None, description="`me`, or an account's id")
    visibility: Literal["private", "public"] | None = Field(None, description="`private` or `public`")
    state: Literal["pending", "ready", "rejected", "failed"] | None = Field(None, description="how far it is")
    format: Annotated[str, AfterValidator(_media_type)] | None = Field(
        None, description="`image/jpeg`, or just `jpeg`; of the original"
    )
    min_score: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="0 to 100")
    uploaded_from: From | None = Field(None, description="not earlier; a time with its offset, or a day in UTC")
    uploaded_to: To | None = Field(None, description="not later; a time with its offset, or a whole day in UTC")

    store_id: Text | None = Field(None, description=f"of an upload; {OWN}")
    store_name: Text | None = Field(None, description=f"of an upload; {OWN}")
    camera_id: Text | None = Field(None, description=f"of an upload; {OWN}")
    barcode: Text | None = Field(None, description=f"of an upload; {OWN}")
    link_id: UUID | None = Field(None, description=f"came through this link; {OWN}")
    batch_id: UUID | None = Field(None, description=f"came in this batch; {OWN}")
    camera_model: Text | None = Field(None, description=f"in any case; {OWN}")
    captured_from: From | None = Field(
        None, description=f"taken not earlier; where the camera's offset is unknown, by its clock; {OWN}"
    )
    captured_to: To | None = Field(None, description=f"taken not later; {OWN}")
    near: Near | None = Field(None, description=f"`latitude,longitude,kilometres`: taken that near; {OWN}")

    sort: Sort = Field(
        "-created_at",
        description="`-` is downwards; `captured` needs `owner=me`; what is not known counts as the least",
    )
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50
    cursor: str | None = Field(None, description="`next_cursor` of the page before, which was asked for the same")

    @field_validator("q")
    @classmethod
    def _trimmed(cls, value: str | None) -> str | None:
        return (value or "").strip() or None

    @field_validator("uploaded_to", "captured_to")
    @classmethod
    def _not_before(cls, value: dt.datetime | None, info: ValidationInfo) -> dt.datetime | None:
        begin = info.data.get(str(info.field_name).replace("_to", "_from"))
        if value is not None and begin is not None and value < begin:
            raise ValueError("This is before the time from which on is searched")
        return value

    @field_validator("sort")
    @classmethod
    def _among_own(cls, value: str, info: ValidationInfo) -> str:
        if value.endswith("captured") and "owner" in info.data and info.data["owner"] != ME:
            raise ValueError("By the time of capture only your own images can be sorted: add `owner=me`")
        return value

    def conditions(self) -> dict[str, Any]:
        """What a cursor belongs to: all but where in the list one is."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)
