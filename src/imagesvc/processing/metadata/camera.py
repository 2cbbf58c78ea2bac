"""Reads camera and lens, and derives the one name that all spellings of a model share."""

from dataclasses import dataclass

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import storable, text
from imagesvc.processing.metadata.xmp import Properties

_MAKE, _MODEL, _LENS_MODEL = 0x10F, 0x110, 0xA434


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    make: str | None = None
    model: str | None = None
    make_raw: str | None = None
    """As the file has it."""
    model_raw: str | None = None
    """As the file has it."""
    name: str | None = None
    """The model without a repeated make and with single spaces. Statistics count by it."""
    lens: str | None = None


def read_camera(main: Directory | None, exif: Directory | None, xmp: Properties) -> Camera:
    make_raw = text((main, exif), _MAKE) or storable(xmp.get("tiff:Make", ""))
    model_raw = text((main, exif), _MODEL) or storable(xmp.get("tiff:Model", ""))
    lens = (
        text((exif, main), _LENS_MODEL)
        or storable(xmp.get("exifEX:LensModel", ""))
        or storable(xmp.get("aux:Lens", ""))
    )
    make = _trimmed(make_raw)
    model = _without_repeated_make(make, _trimmed(model_raw))
    return Camera(
        make=make,
        model=model,
        make_raw=make_raw,
        model_raw=model_raw,
        name=" ".join(model.split()) if model else None,
        lens=_trimmed(lens),
    )


def _trimmed(value: str | None) -> str | None:
    """None for a name without a letter or digit, such as a row of dashes."""
    trimmed = value.strip() if value else ""
    return trimmed if any(character.isalnum() for character in trimmed) else None


def _without_repeated_make(make: str | None, model: str | None) -> str | None:
    """The model with the make at most once: ``Canon Canon EOS 80D`` becomes ``Canon EOS 80D``."""
    if not make or not model:
        return model
    rest = model
    while rest.casefold().startswith(f"{make} ".casefold()):
        following = rest[len(make) :].lstrip()
        if not following.casefold().startswith(make.casefold()):
            break
        rest = following
    return rest
