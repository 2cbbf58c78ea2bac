"""The response body of near-duplicates."""

from pydantic import BaseModel, ConfigDict, with_config

from imagesvc.images import examples
from imagesvc.images.json_types import ImageOut

MAX_DISTANCE = 16
"""For a larger distance it would be faster to read all hashes, and such images are not near-duplicates anyway."""


@with_config(ConfigDict(json_schema_extra={"examples": [examples.IMAGE | {"distance": 3}]}))
class SimilarImage(ImageOut):
    """``distance`` is the number of bits, of 64, in which the perceptual hashes differ."""

    distance: int


class SimilarImages(BaseModel):
    items: list[SimilarImage]
