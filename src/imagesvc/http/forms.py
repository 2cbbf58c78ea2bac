"""Reads forms in application/x-www-form-urlencoded. FastAPI would need another library for them."""

from urllib.parse import parse_qsl

from fastapi import Request

from imagesvc.errors import Invalid, Malformed

MEDIA_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request, *, max_bytes: int, max_fields: int) -> list[tuple[str, str]]:
    """The fields in their order. Raises Invalid for another media type, Malformed for a form beyond the limits."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Invalid(f"Send a form with Content-Type: {MEDIA_TYPE}.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise Malformed("The form is too long.")
    try:
        return parse_qsl(body.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=max_fields)
    except ValueError as error:
        raise Malformed("The form has too many fields.") from error
