"""The route of near-duplicates."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from imagesvc.accounts.router import OPTIONAL_BEARER, OptionalCaller
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.image_json import as_json
from imagesvc.images.router import PRIVATE
from imagesvc.images.similar.schemas import MAX_DISTANCE, SimilarImages
from imagesvc.images.similar.service import Similar
from imagesvc.processing.hash_bands import DEFAULT_MAX_DISTANCE

router = APIRouter(tags=["images"])
SimilarPart = Annotated[Similar, Depends(part(Similar))]


@router.get(
    "/v1/images/{image_id:uuid}/similar",
    responses=problems(ImageNotFound),
    response_model=SimilarImages,
    openapi_extra=OPTIONAL_BEARER,
)
async def similar_images(
    request: Request,
    image_id: UUID,
    caller: OptionalCaller,
    similar: SimilarPart,
    max_distance: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_DISTANCE,
            description="bits of the 64-bit perceptual hash that may differ; the default finds copies that were scaled,"
            " compressed, brightened or cropped a little",
        ),
    ] = DEFAULT_MAX_DISTANCE,
) -> Response:
    """List near-duplicates among the images that you may see, the nearest first, at most 12."""
    body = as_json({"items": await similar.find(caller, image_id, max_distance=max_distance)})
    return Response(body, headers={"Cache-Control": PRIVATE}, media_type="application/json")
