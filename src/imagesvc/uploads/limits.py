"""The limits of all ways of uploading, as `GET /u/{token}` and the OpenAPI page show them to clients."""

from typing import Self

from pydantic import BaseModel, Field

from imagesvc.settings import Settings


class UploadLimits(BaseModel):
    """Limits of one request and one file. Above a limit the answer is 413, or 408, 429 or 503 if a retry may help."""

    max_file_bytes: int = Field(description="of one file: 413")
    max_parts_per_request: int = Field(description="files and fields of a form, images of a JSON batch: 413")
    max_part_header_bytes: int = Field(description="of one header line of a part: 413")
    max_field_bytes: int = Field(description="of one field of a form: 413; of one text of a JSON batch: 422")
    max_uploads_at_once: int = Field(description="concurrent requests through one link or by one account: 429")
    max_uploads_waiting: int = Field(description="requests of all clients that wait for memory: 503")
    max_wait_seconds: float = Field(description="of a request that waits for memory: 503")
    max_idle_seconds: float = Field(description="without any data from the client: 408")
    min_bytes_per_second: int = Field(description="on average, after the first idle seconds: 408")
    max_file_seconds: float = Field(description="for one file: 408; a resumable upload has more time")

    @classmethod
    def of_link(cls, settings: Settings, *, max_file_bytes: int) -> Self:
        return cls._of(settings, max_file_bytes=max_file_bytes, max_uploads_at_once=settings.max_uploads_per_link)

    @classmethod
    def of_user(cls, settings: Settings) -> Self:
        return cls._of(
            settings, max_file_bytes=settings.max_file_bytes, max_uploads_at_once=settings.max_uploads_per_user
        )

    @classmethod
    def _of(cls, settings: Settings, *, max_file_bytes: int, max_uploads_at_once: int) -> Self:
        return cls(
            max_file_bytes=max_file_bytes,
            max_parts_per_request=settings.max_parts,
            max_part_header_bytes=settings.max_part_header_bytes,
            max_field_bytes=settings.max_field_bytes,
            max_uploads_at_once=max_uploads_at_once,
            max_uploads_waiting=settings.max_uploads_waiting,
            max_wait_seconds=settings.upload_memory_wait_seconds,
            max_idle_seconds=settings.upload_idle_seconds,
            min_bytes_per_second=settings.upload_min_bytes_per_second,
            max_file_seconds=settings.upload_max_seconds,
        )


def limits_table(settings: Settings) -> str:
    """A Markdown table for the description of the OpenAPI page."""
    user = UploadLimits.of_user(settings)
    rows = [
        f"| `{name}` | {getattr(user, name):,} | {field.description} |"
        for name, field in UploadLimits.model_fields.items()
    ]
    head = "| upload limit | value | of what, and the status of the answer beyond it |"
    max_uploads = f"{settings.max_uploads_per_link:,}"
    foot = f"One link allows {max_uploads} concurrent uploads. A link may set lower limits of its own."
    return "\n".join((head, "|---|---|---|", *rows, "", foot))
