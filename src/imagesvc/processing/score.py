"""How usable a picture is: 0 to 100, from six components, with named defects and the one thing to do about it.

The measurements (``quality/``) are physical quantities; this module holds all judgement: for each component the curve
from quantity to 0..1, whose middle, one half, lies where the picture stops being usable. So one threshold names every
defect. The value falls with the norm of what the components lack: the worst component rules, several middling
ones add up a little, and one that gets better by accident (blur hides grain) cannot outweigh one that gets worse.

What goes in: the *proxy*, the upright sRGB picture reduced by an area or Lanczos filter to at most 640 px on the long
side (never enlarged), and, when it was reduced, native-resolution tiles cut at ``tile_boxes``: grain, fine blur and
JPEG's grid do not survive the reduction. A picture within 640 px is its own proxy and needs no tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imagesvc.processing.quality.exposure import Tones, tones
from imagesvc.processing.quality.jpeg_artifacts import Blocks, blocks
from imagesvc.processing.quality.luma import Pixels, Stack, luma
from imagesvc.processing.quality.noise import noise_level
from imagesvc.processing.quality.sharpness import edge_variances
from imagesvc.processing.quality.tiles import Box, tile_boxes

__all__ = ["DEFECT_BELOW", "HINTS", "PROXY_LONG_SIDE", "SCORE_VERSION", "Box", "Score", "score", "tile_boxes"]

SCORE_VERSION = "1"
PROXY_LONG_SIDE = 640

DEFECT_BELOW = 0.5
"""A component below this is a defect."""

HINTS = {
    "blurred": "Hold still, let the camera focus, and take it again.",
    "too_dark": "Add light or go where it is brighter, and take it again.",
    "too_bright": "Turn away from the light or lower the exposure, and take it again.",
    "low_contrast": "Wipe the lens, avoid haze and reflections, and take it again.",
    "noisy": "Add light so that the camera need not amplify, and take it again.",
    "compressed": "Send the original file, not a copy that a messenger or a web page has made smaller.",
    "low_resolution": "Send the original file, or take it again at the camera's full resolution.",
}
"""What to do about each defect."""

# blur variance (px²) that halves the sharpness: of the proxy's edges, and of the native ones. The sharpest edge a pixel
# grid can hold has the variance that is taken off first
_SOFT_PROXY, _SOFT_NATIVE, _SHARPEST = 13.0, 30.0, 0.4
_SOFT_POWER = 0.8
# a slope (grey levels a pixel) so faint that it is rounding, not an edge
_FAINT_SLOPE = 0.5
# noise (grey levels) that halves the component: in the proxy, in the native pixels
_NOISY_PROXY, _NOISY_NATIVE, _NOISE_POWER = 14.0, 16.0, 1.5
# JPEG step, in units of quality 50, that halves the component: quality 18
_COARSE, _COARSE_POWER = 2.8, 1.1
# a jump on the grid, in the same unit: what one grey level stands for, as far as light compression goes and beyond
_JUMP_LIGHT, _JUMP_LIGHT_MOST, _JUMP_HEAVY = 0.65, 0.45, 0.3
_HIGHLIGHT_POWER = 1.8
_DARK_MEAN, _DARK_POWER = 25 / 255, 2
_CLIPPED_COST, _CLIPPED_POWER = 0.7, 0.55
_BRIGHT_MEAN, _BRIGHT_COST = 0.42, 0.12
_FLAT_SPREAD = 0.08
# pixels of the original that halve the component: 183 x 137
_FEW_PIXELS, _PIXELS_POWER = 25_000, 1.3
_NORM = 1.5
# spreads the upper half, where clean pictures lie, over less of the range than what is worse
_VALUE_POWER = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    value: int
    """0 to 100"""
    components: dict[str, float]
    """sharpness, noise, compression, exposure, contrast, resolution: 0 to 1, more is better"""
    defects: tuple[str, ...]
    """worst first"""
    hint: str | None
    """about the worst defect"""
    version: str = SCORE_VERSION

    def as_json(self) -> dict[str, Any]:
        """The ``score`` member of an image."""
        return {
            "value": self.value,
            "version": self.version,
            "components": {name: round(part, 3) for name, part in self.components.items()},
            "defects": list(self.defects),
            "hint": self.hint,
        }


def score(pixels: Pixels, *, width: int, height: int, tiles: Sequence[Pixels] = ()) -> Score:
    """Judge a picture of ``width`` x ``height`` by its proxy and its native tiles (see above), uint8 RGB."""
    plane = luma(pixels)
    native = luma(np.stack(tiles)) if len(tiles) else plane
    proxy_noise = noise_level(plane)
    native_noise = noise_level(native) if len(tiles) else proxy_noise
    proxy_blur = _blur(plane, noise=proxy_noise)
    native_blur = _blur(native, noise=native_noise) if len(tiles) else proxy_blur
    tone = tones(pixels)
    dark, bright = _dark(tone), _bright(tone)

    softness = proxy_blur / _SOFT_PROXY + native_blur / _SOFT_NATIVE
    graininess = (proxy_noise / _NOISY_PROXY) ** _NOISE_POWER + (native_noise / _NOISY_NATIVE) ** _NOISE_POWER
    components = {
        "sharpness": 1 / (1 + softness**_SOFT_POWER),
        "noise": 1 / (1 + graininess),
        "compression": 1 / (1 + (_coarseness(blocks(native, width=width, height=height)) / _COARSE) ** _COARSE_POWER),
        "exposure": dark * bright,
        "contrast": 1 - float(np.exp(-tone.spread / _FLAT_SPREAD)),
        "resolution": 1 / (1 + (_FEW_PIXELS / (width * height)) ** _PIXELS_POWER),
    }
    lacking = float(np.linalg.norm([1 - part for part in components.values()], ord=_NORM))
    defects = _defects(components, exposure="too_dark" if dark < bright else "too_bright")
    return Score(
        value=round(100 * max(0.0, 1 - lacking) ** _VALUE_POWER),
        components=components,
        defects=defects,
        hint=HINTS[defects[0]] if defects else None,
    )


def _blur(stack: Stack, *, noise: float) -> float:
    """Blur variance (px²) over all directions; 0 where the picture has no edge to tell it by."""
    variances, slope = edge_variances(stack, noise=noise)
    if not len(variances):
        return 0.0
    # the mean of what each direction keeps: one direction without real edges cannot condemn the others
    kept = np.mean(1 / (1 + np.maximum(variances - _SHARPEST, 0) / _SOFT_PROXY))
    evidence = slope**2 / (slope**2 + _FAINT_SLOPE**2)
    return _SOFT_PROXY * float(1 / (evidence * kept + 1 - evidence) - 1)


def _coarseness(found: Blocks) -> float:
    """JPEG's step in units of quality 50: as read off or, where only the grid shows, as its jumps suggest."""
    if found.step > 0:
        return found.step
    return max(min(_JUMP_LIGHT * found.jump, _JUMP_LIGHT_MOST), _JUMP_HEAVY * found.jump)


def _dark(tone: Tones) -> float:
    """1 while the highlights reach the top and there is light at all; a dark scene with a bright lamp is no defect."""
    reach = 1 - (1 - tone.highlight) ** _HIGHLIGHT_POWER
    return float(reach * (1 - np.exp(-((tone.mean / _DARK_MEAN) ** _DARK_POWER))))


def _bright(tone: Tones) -> float:
    """1 while nothing is clipped; brightness alone costs little."""
    excess = max(0.0, tone.mean - _BRIGHT_MEAN) / (1 - _BRIGHT_MEAN)
    return float((1 - _CLIPPED_COST * tone.clipped**_CLIPPED_POWER) * (1 - _BRIGHT_COST * excess))


def _defects(components: dict[str, float], *, exposure: str) -> tuple[str, ...]:
    names = {
        "exposure": exposure,
        "sharpness": "blurred",
        "noise": "noisy",
        "compression": "compressed",
        "contrast": "low_contrast",
        "resolution": "low_resolution",
    }
    poor = [name for name in names if components[name] < DEFECT_BELOW]
    return tuple(names[name] for name in sorted(poor, key=components.__getitem__))
