"""Uploads files as the owner of the service, and names the members of the public view."""

from typing import Any

from tests.support.service import Service
from tests.support.wire import MULTIPART, field_part, file_part, form

PUBLIC_VIEW = frozenset(
    {
        "id",
        "state",
        "visibility",
        "title",
        "description",
        "created_at",
        "media_type",
        "width",
        "height",
        "score",
        "renditions",
    }
)
"""The members of an image that others see when it is public."""


async def send(service: Service, data: bytes, *, name: bytes = b"a.jpg", **fields: str) -> dict[str, Any]:
    """Upload a file with the context ``fields``. Returns its entry in the results."""
    parts = [field_part(field, value.encode()) for field, value in fields.items()]
    answer = await service.owner.post("/v1/images", content=form(*parts, file_part(data, name)), headers=MULTIPART)
    assert answer.status_code in (200, 201), answer.text
    result: dict[str, Any] = answer.json()["results"][0]
    return result
