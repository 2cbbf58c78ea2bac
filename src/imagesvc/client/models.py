"""What the service answers, as the client hands it on; and what a sender tells about a file."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import httpx


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something was refused (RFC 9457)."""

    type: str
    title: str
    status: int | None = None
    detail: str | None = None

    @property
    def slug(self) -> str:
        return self.type.rpartition("/")[2]

    @property
    def told(self) -> str:
        """For people: the title, and the detail where it says more."""
        return self.title if self.detail in (None, self.title) else f"{self.title}: {self.detail}"

    @classmethod
    def of_answer(cls, answer: httpx.Response) -> Self:
        """That of a refusal; what is no problem document (a proxy, another server) is told by its status."""
        try:
            told = json.loads(answer.content)
        except ValueError:
            told = None
        if isinstance(told, dict) and isinstance(told.get("problem"), dict):
            told = told["problem"]  # what an upload that is gone has ended with
        if isinstance(told, dict) and "title" in told:
            return cls.of_document(told, status=answer.status_code)
        if slug := answer.headers.get("imagesvc-problem"):  # in answer to HEAD, which has no body
            return cls(type=f"/problems/{slug}", title=slug.replace("-", " "), status=answer.status_code)
        if answer.is_redirect:
            where = answer.headers.get("location", "")
            return cls(
                type="about:blank", title=f"The server is at another address: {where}", status=answer.status_code
            )
        return cls(
            type="about:blank", title=f"{answer.status_code} {answer.reason_phrase}".strip(), status=answer.status_code
        )

    @classmethod
    def of_document(cls, told: dict[str, Any], *, status: int | None = None) -> Self:
        wrong = [f"{error.get('pointer', '')} {error.get('detail', '')}".strip() for error in told.get("errors") or ()]
        return cls(
            type=str(told.get("type", "about:blank")),
            title=str(told["title"]),
            status=told.get("status", status),
            detail=told.get("detail") or ("; ".join(wrong) or None),
        )

    def document(self) -> dict[str, Any]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is told about files beside their bytes. Through a link, the link decides on the visibility."""

    visibility: Literal["private", "public"] | None = None
    title: str | None = None
    description: str | None = None
    store_id: str | None = None
    store_name: str | None = None
    camera_id: str | None = None
    barcode: str | None = None
    captured_at: str | None = None

    def fields(self) -> dict[str, str]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file that is in. ``upload_id`` is the receipt; through a link no ``image_id`` is told."""

    status: Literal["created", "duplicate"]
    upload_id: str | None = None
    image_id: str | None = None
    url: str | None = None

    @classmethod
    def of_result(cls, result: Mapping[str, Any]) -> Self:
        return cls(
            status=result["status"],
            upload_id=result.get("upload_id"),
            image_id=result.get("image_id"),
            url=result.get("url"),
        )

    @classmethod
    def of_headers(cls, headers: httpx.Headers) -> Self | None:
        """That of a finished resumable upload; None while it is not finished."""
        prefix = "imagesvc-"
        told = {name.removeprefix(prefix).replace("-", "_"): text for name, text in headers.items()}
        return cls.of_result(told) if f"{prefix}status" in headers else None
