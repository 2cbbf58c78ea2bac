"""Converts pixels to sRGB: by ICC profile, or by the H.273 code points that HEIF, AVIF and PNG may state instead.

The conversion runs on the image after it is resized. Resizing in the stored colors and converting afterwards gives the
same image to within rounding, for a quarter of the work. A profile that is unreadable, or that is for another color
space than that of the pixels, is ignored, as viewers do.
"""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from imagesvc.processing.png_color import colorants

_OUTPUT_MODE = {"L": "RGB", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_CHROMATICITIES = {
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""By primaries: x and y of white, red, green and blue (ITU-T H.273, table 2). 1 and 2 count as those of sRGB."""
_SRGB_CHROMATICITIES = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_GAMMA_22, _GAMMA_28, _LINEAR, _PQ, _HLG = 4, 5, 8, 16, 18
_OTHER_CURVES = {_GAMMA_22, _GAMMA_28, _LINEAR, _PQ, _HLG}
"""Transfers that differ from sRGB's. Viewers show the BT.709 family (1, 6, 11, 12, 14, 15) with the curve of sRGB."""
_WHITE_NITS = 203.0
"""Diffuse white of HDR content (ITU-R BT.2408)."""


def to_srgb(image: Image.Image, profile: bytes | None, primaries: int | None, transfer: int | None) -> Image.Image:
    """Convert to sRGB, in mode L, RGB or RGBA. Alpha does not change."""
    if profile:
        converted = _by_profile(image, profile)
        if converted is not None:
            return converted
    elif image.mode in ("L", "RGB", "RGBA") and (primaries in _CHROMATICITIES or transfer in _OTHER_CURVES):
        rgb = image.convert("RGB") if image.mode == "L" else image
        return _by_code_points(rgb, primaries or 1, transfer or 13)
    return image.convert("RGB") if image.mode == "CMYK" else image


def _by_profile(image: Image.Image, data: bytes) -> Image.Image | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = _OUTPUT_MODE[image.mode]
        transform = ImageCms.buildTransform(profile, _srgb(), image.mode, mode)
        if image.mode in ("RGB", "RGBA") and _is_identity(transform, image.mode):
            return image
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform changes no color.

    Most profiles are sRGB under one of many names, so the transform is tried on a few hundred colors.
    """
    probe = Image.frombytes("RGB", (343, 1), _probe_colors()).convert(mode)
    converted = ImageCms.applyTransform(probe, transform)
    if converted is None:
        return False
    difference = np.asarray(probe, np.int16) - np.asarray(converted, np.int16)
    return int(np.abs(difference).max()) <= 1


@lru_cache(maxsize=1)
def _probe_colors() -> bytes:
    levels = np.linspace(0, 255, 7).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).tobytes()


def _by_code_points(image: Image.Image, primaries: int, transfer: int) -> Image.Image:
    pixels = np.asarray(image)
    linear: NDArray[np.float32] = _linear_levels(transfer)[pixels[..., :3]]
    if primaries in _CHROMATICITIES:
        linear = linear @ _matrix_to_srgb(primaries).T
    if transfer in (_PQ, _HLG):
        linear = _roll_off_highlights(linear)
    steps = (linear.clip(0, 1) * 4_095 + 0.5).astype(np.uint16)
    result = Image.fromarray(_srgb_levels()[steps])
    if image.mode == "RGBA":
        result.putalpha(image.getchannel("A"))
    return result


@lru_cache(maxsize=16)
def _matrix_to_srgb(primaries: int) -> NDArray[np.float32]:
    """From linear light with these primaries to linear sRGB, adapted to its white."""
    source, target = (
        colorants(tuple(value for point in points for value in point))
        for points in (_CHROMATICITIES[primaries], _SRGB_CHROMATICITIES)
    )
    assert source is not None and target is not None  # noqa: S101, PT018 - constants
    return (np.linalg.inv(target) @ source).astype(np.float32)


def _linear_levels(transfer: int) -> NDArray[np.float32]:
    """Linear light of each of the 256 levels; diffuse white is 1."""
    level = np.linspace(0, 1, 256, dtype=np.float64)
    if transfer == _LINEAR:
        light = level
    elif transfer == _GAMMA_22:
        light = level**2.2
    elif transfer == _GAMMA_28:
        light = level**2.8
    elif transfer == _PQ:
        powered = level ** (1 / 78.84375)
        light = (
            10_000
            / _WHITE_NITS
            * (np.maximum(powered - 0.8359375, 0) / (18.8515625 - 18.6875 * powered)) ** (1 / 0.1593017578125)
        )
    elif transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
        light = 1_000 / _WHITE_NITS * scene**1.2
    else:
        light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _roll_off_highlights(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compress light above a knee towards diffuse white instead of clipping it.

    All channels are scaled alike, which keeps the hue.
    """
    peak = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
    knee = 0.75
    rolled = np.where(peak <= knee, peak, knee + (1 - knee) * (1 - np.exp(-(peak - knee) / (1 - knee))))
    result: NDArray[np.float32] = (linear * (rolled / peak)).astype(np.float32)
    return result


@lru_cache(maxsize=1)
def _srgb_levels() -> NDArray[np.uint8]:
    light = np.linspace(0, 1, 4_096)
    level = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (level * 255 + 0.5).astype(np.uint8)
