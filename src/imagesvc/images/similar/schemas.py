"""Near-duplicates as they are answered."""

from pydantic import BaseModel, ConfigDict, with_config

from imagesvc.images import examples
from imagesvc.images.json_types import ImageOut

LARGEST_DISTANCE = 16
"""Beyond, reading all hashes would be the faster way, and what differs in so many bits is another picture anyway."""


@with_config(ConfigDict(json_schema_extra={"examples": [examples.IMAGE | {"distance": 3}]}))
class SimilarImage(ImageOut):
    """``distance``: in how many of 64 bits the perceptual hashes differ."""

    distance: int


class SimilarImages(BaseModel):
    items: list[SimilarImage]
