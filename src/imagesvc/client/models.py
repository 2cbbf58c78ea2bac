"""The values that callers pass to the client, and what the service answers."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Generic, Literal, Required, Self, TypedDict, TypeVar, cast

import httpx

T = TypeVar("T")
Visibility = Literal["private", "public"]
UploadStatus = Literal["created", "duplicate"]
JsonObject = Mapping[str, object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the service refused a request (RFC 9457)."""

    type: str
    title: str
    status: int | None = None
    detail: str | None = None

    @property
    def slug(self) -> str:
        return self.type.rpartition("/")[2]

    @property
    def message(self) -> str:
        """One line for people: the title, and the detail where it adds something."""
        return self.title if self.detail in (None, self.title) else f"{self.title}: {self.detail}"

    @classmethod
    def from_response(cls, response: httpx.Response) -> Self:
        """The problem of a refusal; a body that is no problem document (from a proxy, say) is named by its status."""
        document, status = _json_object(response), response.status_code
        if isinstance(nested := document.get("problem"), dict):
            document = nested  # the final problem of an upload that has ended
        if "title" in document:
            return cls.from_document(document, status=status)
        if slug := response.headers.get("imagesvc-problem"):  # an answer to HEAD has no body
            return cls(type=f"/problems/{slug}", title=slug.replace("-", " "), status=status)
        if response.is_redirect:
            address = response.headers.get("location", "")
            return cls(type="about:blank", title=f"The server is at another address: {address}", status=status)
        return cls(type="about:blank", title=f"{status} {response.reason_phrase}".strip(), status=status)

    @classmethod
    def from_document(cls, document: JsonObject, *, status: int | None = None) -> Self:
        """``status`` applies when the document names none."""
        stated, detail = document.get("status"), document.get("detail")
        return cls(
            type=str(document.get("type", "about:blank")),
            title=str(document["title"]),
            status=stated if isinstance(stated, int) else status,
            detail=str(detail) if detail else _field_errors(document.get("errors")),
        )

    def to_document(self) -> dict[str, str | int]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def _json_object(response: httpx.Response) -> JsonObject:
    """The body as a JSON object; empty if it is anything else."""
    try:
        body: object = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _field_errors(errors: object) -> str | None:
    """The errors of single fields as one line."""
    if not isinstance(errors, list):
        return None
    lines = [f"{error.get('pointer', '')} {error.get('detail', '')}".strip() for error in errors]
    return "; ".join(lines) or None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a sender states about a file besides its bytes. Through a link, the link sets the visibility."""

    visibility: Visibility | None = None
    title: str | None = None
    description: str | None = None
    store_id: str | None = None
    store_name: str | None = None
    camera_id: str | None = None
    barcode: str | None = None
    captured_at: str | None = None

    def fields(self) -> dict[str, str]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


class UploadResult(TypedDict, total=False):
    """An accepted file in the answer to an upload."""

    status: Required[UploadStatus]
    upload_id: str
    image_id: str
    url: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The service has accepted a file. Through a link there is no ``image_id``; ``upload_id`` identifies the upload."""

    status: UploadStatus
    upload_id: str | None = None
    image_id: str | None = None
    url: str | None = None

    @classmethod
    def from_result(cls, result: UploadResult) -> Self:
        return cls(
            status=result["status"],
            upload_id=result.get("upload_id"),
            image_id=result.get("image_id"),
            url=result.get("url"),
        )

    @classmethod
    def from_headers(cls, headers: httpx.Headers) -> Self | None:
        """The receipt of a finished resumable upload; None while it is not finished."""
        if "imagesvc-status" not in headers:
            return None
        return cls(
            status=cast("UploadStatus", headers["imagesvc-status"]),
            upload_id=headers.get("imagesvc-upload-id"),
            image_id=headers.get("imagesvc-image-id"),
            url=headers.get("imagesvc-url"),
        )


class Page(TypedDict, Generic[T]):
    """One page of a list. ``next_cursor`` is None on the last one."""

    items: list[T]
    next_cursor: str | None


class Score(TypedDict):
    """How usable a picture is: 0 to 100. The service sends its components too."""

    value: int


class Image(TypedDict):
    """An image as ``GET /v1/images`` lists it. Hidden and unknown values are None or empty."""

    id: str
    state: Literal["pending", "ready", "rejected", "failed"]
    problem: JsonObject | None
    owner_id: str | None
    visibility: Visibility
    title: str
    description: str | None
    created_at: str
    sha256: str | None
    bytes: int | None
    media_type: str
    width: int | None
    height: int | None
    stored_width: int | None
    stored_height: int | None
    orientation: int | None
    frames: int | None
    color_mode: str | None
    has_icc_profile: bool | None
    camera: JsonObject | None
    exposure: JsonObject | None
    captured: JsonObject | None
    location: JsonObject | None
    perimeter: int | None
    perceptual_hash: str | None
    score: Score | None
    notes: list[str]
    renditions: list[JsonObject]
    original_url: str | None
    uploads: list[JsonObject]


class ImageFilters(TypedDict, total=False):
    """The parameters of ``GET /v1/images``; None means not given."""

    q: str | None
    owner: str | None
    visibility: str | None
    state: str | None
    format: str | None
    min_score: int | None
    uploaded_from: str | None
    uploaded_to: str | None
    store_id: str | None
    store_name: str | None
    camera_id: str | None
    barcode: str | None
    link_id: str | None
    batch_id: str | None
    camera_model: str | None
    captured_from: str | None
    captured_to: str | None
    near: str | None
    sort: str | None


class Link(TypedDict):
    """An invitation link as its owner sees it; ``url`` and ``token`` are secrets."""

    id: str
    url: str
    token: str
    label: str | None
    created_at: str
    expires_at: str
    revoked_at: str | None
    state: Literal["open", "expired", "revoked", "used-up"]
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


class LinkOptions(TypedDict, total=False):
    """The optional members of a new link; None means not given."""

    label: str | None
    max_files: int | None
    max_bytes: int | None
    max_file_bytes: int | None
    visibility: Visibility | None
    store_id: str | None
    camera_id: str | None
