"""Images whose corners and colors show how they were turned, cropped and converted."""

from PIL import Image

from imagesvc.processing.contract import Work

FULL = Work(score=False, renditions=(("full", "webp"),))

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 20), (20, 20, 230), (250, 250, 250)


def corners(turn: Image.Transpose | None, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Upright: red and green above blue and white; stored turned."""
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for box, fill in (((0, 0), RED), ((width, 0), GREEN), ((0, height), BLUE), ((width, height), WHITE)):
        image.paste(fill, (*box, box[0] + width, box[1] + height))
    return image.transpose(turn) if turn is not None else image


STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def is_upright(image: Image.Image) -> bool:
    image = image.convert("RGB")
    found = [color(image, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    return all(near(one, other, 24) for one, other in zip(found, (RED, GREEN, BLUE, WHITE), strict=True))


def color(image: Image.Image, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    pixel = image.getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    return pixel


def near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 6) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))
