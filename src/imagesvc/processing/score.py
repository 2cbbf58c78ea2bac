"""Scores how usable an image is: 0 to 100, from six components, with named defects and a hint for the worst one.

The measurements (``quality/``) are physical quantities. This module holds all calibration: for each component, a curve
from the quantity to 0..1 that crosses one half where images stop being usable, so that one threshold defines every
defect. The value falls with the norm of the components' shortfalls: the worst component dominates, several mediocre
ones add up a little, and a component that improves by accident (blur hides noise) cannot outweigh one that gets worse.

Input: the *proxy*, which is the upright sRGB image reduced by an area or Lanczos filter to at most 640 px on the long
side (never enlarged), and, if it was reduced, native-resolution tiles cut at ``tile_boxes``. Noise, fine blur and
JPEG's grid do not survive the reduction. An image within 640 px is its own proxy and needs no tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imagesvc.processing.facts import ScoreJson
from imagesvc.processing.quality.exposure import ToneStatistics, tone_statistics
from imagesvc.processing.quality.jpeg_artifacts import JpegArtifacts, jpeg_artifacts
from imagesvc.processing.quality.luma import Pixels, Stack, luma
from imagesvc.processing.quality.noise import noise_level
from imagesvc.processing.quality.sharpness import edge_variances
from imagesvc.processing.quality.tiles import Box, tile_boxes

__all__ = ["DEFECT_BELOW", "HINTS", "PROXY_LONG_SIDE", "SCORE_VERSION", "Box", "Score", "score", "tile_boxes"]

SCORE_VERSION = "1"
PROXY_LONG_SIDE = 640

DEFECT_BELOW = 0.5
"""A component below this value is a defect."""

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

# Blur variance (px²) that halves the sharpness, of the proxy's edges and of the native ones. _MIN_BLUR_VARIANCE, that
# of the sharpest edge a pixel grid can hold, is subtracted first.
_PROXY_BLUR_HALF, _NATIVE_BLUR_HALF, _MIN_BLUR_VARIANCE = 13.0, 30.0, 0.4
_BLUR_POWER = 0.8
# A slope (gray levels per pixel) that may be rounding instead of an edge.
_FAINT_SLOPE = 0.5
# Noise (gray levels) that halves the component, in the proxy and in the native pixels.
_PROXY_NOISE_HALF, _NATIVE_NOISE_HALF, _NOISE_POWER = 14.0, 16.0, 1.5
# JPEG step, in units of quality 50, that halves the component. It is that of quality 18.
_STEP_HALF, _STEP_POWER = 2.8, 1.1
# JPEG steps per gray level of a jump on the grid: for light compression up to the maximum, and for heavy compression.
_LIGHT_STEP_PER_JUMP, _MAX_LIGHT_STEP, _HEAVY_STEP_PER_JUMP = 0.65, 0.45, 0.3
_HIGHLIGHT_POWER = 1.8
_DARK_MEAN, _DARK_POWER = 25 / 255, 2
_CLIPPED_COST, _CLIPPED_POWER = 0.7, 0.55
_BRIGHT_MEAN, _BRIGHT_COST = 0.42, 0.12
_FLAT_SPREAD = 0.08
# Pixels of the original that halve the component: 183 x 137.
_PIXELS_HALF, _PIXELS_POWER = 25_000, 1.3
_NORM = 1.5
# Compresses the upper half of the range, where clean images lie, to leave more of it to worse ones.
_VALUE_POWER = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    value: int
    """0 to 100"""
    components: dict[str, float]
    """sharpness, noise, compression, exposure, contrast, resolution: 0 to 1, higher is better"""
    defects: tuple[str, ...]
    """worst first"""
    hint: str | None
    """what to do about the worst defect"""
    version: str = SCORE_VERSION

    def as_json(self) -> ScoreJson:
        """The ``score`` member of an image."""
        return {
            "value": self.value,
            "version": self.version,
            "components": {name: round(component, 3) for name, component in self.components.items()},
            "defects": list(self.defects),
            "hint": self.hint,
        }


def score(pixels: Pixels, *, width: int, height: int, tiles: Sequence[Pixels] = ()) -> Score:
    """Score an image of ``width`` x ``height`` by its proxy and its native tiles (see above), uint8 RGB."""
    plane = luma(pixels)
    native = luma(np.stack(tiles)) if len(tiles) else plane
    proxy_noise = noise_level(plane)
    native_noise = noise_level(native) if len(tiles) else proxy_noise
    proxy_blur = _blur(plane, noise=proxy_noise)
    native_blur = _blur(native, noise=native_noise) if len(tiles) else proxy_blur
    tone = tone_statistics(pixels)
    dark, bright = _darkness_factor(tone), _brightness_factor(tone)

    artifacts = jpeg_artifacts(native, width=width, height=height)
    softness = proxy_blur / _PROXY_BLUR_HALF + native_blur / _NATIVE_BLUR_HALF
    graininess = (proxy_noise / _PROXY_NOISE_HALF) ** _NOISE_POWER + (native_noise / _NATIVE_NOISE_HALF) ** _NOISE_POWER
    components = {
        "sharpness": 1 / (1 + softness**_BLUR_POWER),
        "noise": 1 / (1 + graininess),
        "compression": 1 / (1 + (_jpeg_step(artifacts) / _STEP_HALF) ** _STEP_POWER),
        "exposure": dark * bright,
        "contrast": 1 - float(np.exp(-tone.spread / _FLAT_SPREAD)),
        "resolution": 1 / (1 + (_PIXELS_HALF / (width * height)) ** _PIXELS_POWER),
    }
    shortfall = float(np.linalg.norm([1 - component for component in components.values()], ord=_NORM))
    defects = _defects(components, exposure="too_dark" if dark < bright else "too_bright")
    return Score(
        value=round(100 * max(0.0, 1 - shortfall) ** _VALUE_POWER),
        components=components,
        defects=defects,
        hint=HINTS[defects[0]] if defects else None,
    )


def _blur(stack: Stack, *, noise: float) -> float:
    """Blur variance (px²) over all directions; 0 if the image has no edges to measure."""
    variances, slope = edge_variances(stack, noise=noise)
    if not len(variances):
        return 0.0
    # The mean of the sharpness in each direction: a direction without real edges cannot outweigh the others.
    kept = np.mean(1 / (1 + np.maximum(variances - _MIN_BLUR_VARIANCE, 0) / _PROXY_BLUR_HALF))
    evidence = slope**2 / (slope**2 + _FAINT_SLOPE**2)
    return _PROXY_BLUR_HALF * float(1 / (evidence * kept + 1 - evidence) - 1)


def _jpeg_step(artifacts: JpegArtifacts) -> float:
    """JPEG's step in units of quality 50: measured or, if only the grid is visible, estimated from its jumps."""
    if artifacts.step > 0:
        return artifacts.step
    return max(min(_LIGHT_STEP_PER_JUMP * artifacts.jump, _MAX_LIGHT_STEP), _HEAVY_STEP_PER_JUMP * artifacts.jump)


def _darkness_factor(tone: ToneStatistics) -> float:
    """1 if highlights reach full brightness and the mean is not near black. A dark scene with a bright lamp is fine."""
    reach = 1 - (1 - tone.highlight) ** _HIGHLIGHT_POWER
    return float(reach * (1 - np.exp(-((tone.mean / _DARK_MEAN) ** _DARK_POWER))))


def _brightness_factor(tone: ToneStatistics) -> float:
    """1 if nothing is clipped. Brightness alone costs little."""
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
