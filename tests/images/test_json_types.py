"""The examples of the OpenAPI page against the types of the JSON."""

import pytest
from pydantic import JsonValue, TypeAdapter

from imagesvc.images import examples
from imagesvc.images.json_types import ImageOut, Receipt, UploadOut, UploadWithImage

EXAMPLES: list[tuple[type, dict[str, JsonValue]]] = [
    (ImageOut, examples.IMAGE),
    (UploadOut, examples.UPLOAD),
    (UploadWithImage, examples.UPLOAD | {"image": examples.IMAGE}),
    (Receipt, examples.RECEIPT),
]


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_an_example_has_exactly_the_members_of_its_type(kind: type, example: dict[str, JsonValue]) -> None:
    # Validation drops unknown members, so the comparison finds those too.
    assert TypeAdapter(kind).validate_python(example, strict=True) == example
