"""Builds an ICC profile from the gamma and the chromaticities that a PNG states if it has no profile (gAMA, cHRM).

With a profile (ICC.1:2001, matrix and gamma), the conversion to sRGB needs no second code path. Values that are
invalid, or that equal those of sRGB, give no profile.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.headers import Header

_D50 = np.array([0.9642, 1.0, 0.8249])
_SRGB_GAMMA, _SRGB_POINTS = 1 / 2.2, (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_GAMMA_IS_SRGB, _POINTS_ARE_SRGB = 0.005, 0.003
"""Tolerances within which a value counts as sRGB, because encoders round."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def stated_profile(header: Header, *, is_gray: bool) -> bytes | None:
    """The profile for gray or RGB pixels; None if the chunks are missing, invalid or equal to sRGB."""
    gamma, points = header.gamma, header.chromaticities or _SRGB_POINTS
    if header.primaries is not None or gamma is None or not 0.1 <= gamma <= 10:
        return None
    has_srgb_points = bool(np.allclose(points, _SRGB_POINTS, rtol=0, atol=_POINTS_ARE_SRGB))
    if abs(gamma - _SRGB_GAMMA) < _GAMMA_IS_SRGB and (has_srgb_points or is_gray):
        return None
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(256 / gamma), 0)
    if is_gray:
        return _profile(b"GRAY", [(b"kTRC", curve)])
    columns = colorants(points)
    if columns is None:
        return None
    named = zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)
    curves = ((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))
    return _profile(b"RGB ", [*((name, _xyz(column)) for name, column in named), *curves])


def colorants(points: tuple[float, ...]) -> NDArray[np.float64] | None:
    """XYZ of red, green and blue as columns, adapted to D50; None for points that span no gamut."""
    x, y = np.array(points[::2]), np.array(points[1::2])
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (y > 0.001).all()):
        return None
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    white, primaries = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(primaries)) < 1e-4:
        return None
    cones_white, cones_d50 = _BRADFORD @ white, _BRADFORD @ _D50
    if (cones_white < 0.01).any():
        return None
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones_d50 / cones_white) @ _BRADFORD
    columns: NDArray[np.float64] = adaptation @ primaries @ np.diag(np.linalg.solve(primaries, white))
    return columns if (columns[1] > 0).all() and float(np.abs(columns).max()) < 100 else None


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(float(value) * 65_536) for value in values))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    description = (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"PNG \0" + bytes(78))
    all_tags = [description, (b"cprt", b"text\0\0\0\0none\0\0\0\0"), (b"wtpt", _xyz(_D50)), *tags]
    data_offset = 128 + 4 + 12 * len(all_tags)
    table, body = struct.pack(">I", len(all_tags)), b""
    for name, data in all_tags:
        table += struct.pack(">4sII", name, data_offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    struct.pack_into(">I4sI4s4s4s", header, 0, data_offset + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ")
    header[36:40] = b"acsp"
    header[68:80] = _xyz(_D50)[8:]
    return bytes(header) + table + body
