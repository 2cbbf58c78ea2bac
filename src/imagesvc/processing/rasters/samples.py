"""Unpack samples of any width, and scale them to 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked(data: bytes, *, rows: int, samples: int, bits: int, order: str) -> NDArray[Any]:
    """``rows`` x ``samples`` unsigned integers; rows begin at whole bytes, widths other than 8, 16 and 32 run from the
    highest bit of a byte to the lowest."""
    row_bytes = (samples * bits + 7) // 8
    table = np.frombuffer(data, np.uint8, count=rows * row_bytes).reshape(rows, row_bytes)
    if bits in (8, 16, 32):
        return table.view(f"{order}u{bits // 8}")
    if bits == 24:
        parts = table.reshape(rows, samples, 3).astype(np.uint32)
        first, last = (0, 2) if order == ">" else (2, 0)
        return parts[..., first] << 16 | parts[..., 1] << 8 | parts[..., last]
    single = np.unpackbits(table, axis=1)[:, : samples * bits].reshape(rows, samples, bits)
    weights = (1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)).astype(np.uint32)
    return np.asarray(single @ weights)


def eight_bits(values: NDArray[Any], top: float) -> NDArray[np.uint8]:
    """From 0 … ``top`` to 0 … 255, rounded."""
    scaled: NDArray[np.float32] = values.astype(np.float32) * np.float32(255 / top) + np.float32(0.5)
    return np.asarray(scaled.clip(0, 255), np.uint8)


def eight_bits_of_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Floats go from 0 to 1, or to 255 or 65 535, or to their largest value, whichever they stay within first."""
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    high = float(finite.max(initial=0.0))
    return eight_bits(finite, next((top for top in (1.0, 255.0, 65_535.0) if high <= top), high))
