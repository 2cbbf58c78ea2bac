"""Unpacks samples of any width, and scales them to 8 bits."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.number]
"""Samples as the file has them: unsigned integers or floats."""
Integers = NDArray[np.integer]


def unpacked(data: bytes, *, rows: int, samples: int, bits: int, order: str) -> Integers:
    """``rows`` x ``samples`` unsigned integers of ``bits`` bits.

    Rows begin at whole bytes. Widths other than 8, 16, 24 and 32 run from the highest bit of a byte to the lowest.
    """
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


def eight_bits(values: Samples, max_value: float) -> NDArray[np.uint8]:
    """Scale 0 … ``max_value`` to 0 … 255, rounded."""
    scaled: NDArray[np.float32] = values.astype(np.float32) * np.float32(255 / max_value) + np.float32(0.5)
    return np.asarray(scaled.clip(0, 255), np.uint8)


def eight_bits_of_floats(values: Samples) -> NDArray[np.uint8]:
    """Scale 0 … 1, 0 … 255, 0 … 65 535 or 0 … the largest value: the first range that all values fit in."""
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(finite.max(initial=0.0))
    return eight_bits(finite, next((top for top in (1.0, 255.0, 65_535.0) if largest <= top), largest))
