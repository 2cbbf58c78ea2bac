"""Which camera and lens, and the one name that all spellings of a model are counted under."""

from dataclasses import dataclass

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import storable, text
from imagesvc.processing.metadata.xmp import Properties

_MAKE, _MODEL, _LENS_MODEL = 0x10F, 0x110, 0xA434


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    make: str | None
    model: str | None
    make_raw: str | None
    model_raw: str | None
    name: str | None
    lens: str | None


def camera(main: Directory | None, exif: Directory | None, xmp: Properties) -> Camera:
    make_raw = text((main, exif), _MAKE) or storable(xmp.get("tiff:Make", ""))
    model_raw = text((main, exif), _MODEL) or storable(xmp.get("tiff:Model", ""))
    lens = (
        text((exif, main), _LENS_MODEL)
        or storable(xmp.get("exifEX:LensModel", ""))
        or storable(xmp.get("aux:Lens", ""))
    )
    make = _named(make_raw)
    model = without_repeated_make(make, _named(model_raw))
    return Camera(
        make=make,
        model=model,
        make_raw=make_raw,
        model_raw=model_raw,
        name=" ".join(model.split()) if model else None,
        lens=_named(lens),
    )


def _named(value: str | None) -> str | None:
    """Trimmed; None for a name without a letter or digit, such as a row of dashes."""
    trimmed = value.strip() if value else ""
    return trimmed if any(character.isalnum() for character in trimmed) else None


def without_repeated_make(make: str | None, model: str | None) -> str | None:
    """``Canon Canon EOS 80D`` is ``Canon EOS 80D``: of a make that is written more than once, one is left."""
    if not make or not model:
        return model
    rest = model
    while rest.casefold().startswith(f"{make} ".casefold()):
        following = rest[len(make) :].lstrip()
        if not following.casefold().startswith(make.casefold()):
            break
        rest = following
    return rest
