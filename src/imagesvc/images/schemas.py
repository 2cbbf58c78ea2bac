"""The request body of a change of an image. `json_types.py` has the response bodies."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from imagesvc.http.validation import without_null
from imagesvc.images.models import Visibility


class ImageChanges(BaseModel):
    """The members to change. Absent members stay as they are. An empty or null `description` removes it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"visibility": "public"}]})

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] | None = Field(
        None, json_schema_extra=without_null
    )
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000)] | None = None
    visibility: Visibility | None = Field(None, json_schema_extra=without_null)

    @field_validator("title", "visibility", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("A value is required; leave the member out to keep it")
        return value

    @field_validator("title", "description")
    @classmethod
    def _no_nul(cls, value: str | None) -> str | None:
        if value is not None and "\x00" in value:
            raise ValueError("NUL is not allowed")
        return value

    def members(self) -> dict[str, str | None]:
        """Return the members that the request contains. An empty description becomes None."""
        given = self.model_dump(exclude_unset=True)
        return {name: value or None for name, value in given.items()}
