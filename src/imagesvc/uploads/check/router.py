"""Routes that report which contents need not be sent."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.links.errors import BadLinkToken, LinkExpired, LinkRevoked
from imagesvc.links.router import CurrentLink
from imagesvc.uploads.check.service import ContentCheck

router = APIRouter(tags=["upload"])
ContentCheckPart = Annotated[ContentCheck, Depends(part(ContentCheck))]

MAX_HASHES = 1000
EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]


class Hashes(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"sha256": [EXAMPLE]}]})

    sha256: Annotated[list[Sha256], Field(max_length=MAX_HASHES, description="hexadecimal, in either case")]


class HaveOfCaller(BaseModel):
    """Your images by their hash in lower case. A hash that is absent has to be sent."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"have": {EXAMPLE: "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"}}]}
    )

    have: dict[str, UUID]


class HaveOfLink(BaseModel):
    """Hashes, in lower case, of the files received through this link. A hash that is absent has to be sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"have": [EXAMPLE]}]})

    have: list[str]


@router.post("/v1/images/check", responses=problems(Forbidden), dependencies=[needs_bearer])
async def check_images(request: Request, body: Hashes, caller: CurrentCaller, check: ContentCheckPart) -> HaveOfCaller:
    """Which of these files you already have. Only your own images count, even if others have the same picture."""
    return HaveOfCaller(have=await check.of_caller(caller, body.sha256))


@router.post("/u/{token}/check", responses=problems(BadLinkToken, LinkExpired, LinkRevoked))
async def check_link(request: Request, body: Hashes, link: CurrentLink, check: ContentCheckPart) -> HaveOfLink:
    """Which of these files were already sent through this link. Sending one again costs nothing and changes nothing."""
    return HaveOfLink(have=await check.of_link(link, body.sha256))
