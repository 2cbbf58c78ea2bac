"""Which 16-bit bands a near-duplicate's hash must share, so that a search reads thousands of hashes and not all.

Multi-index hashing (Norouzi et al., *Fast search in Hamming space with multi-index hashing*, 2012): when two hashes
differ in at most r of 64 bits, then in one of four bands of 16 bits they differ in at most r // 4; and all bands but
r % 4 + 1 may even be searched one bit closer, since otherwise the differences would add up to more than r. The values
that come within that are few enough to be listed and looked up in one index a band. What is found still has to be
compared whole.

The last bands are those that are searched wider: they hold the higher frequencies, in which different photos resemble
each other least (measured: the first band agrees within 3 bits for 4.4 % of all pairs, the others for 2 %).
"""

from functools import lru_cache
from itertools import combinations

DEFAULT_MAX_DISTANCE = 12
"""Measured (``bench/perceptual_hash.py``): JPEG at quality 30, half size, 30 % brighter and cropped by 2 % stay within
11; different pictures start at 14."""

BANDS, BAND_BITS = 4, 16
_MASK = (1 << BAND_BITS) - 1


def bands(value: int) -> tuple[int, ...]:
    """The four bands of a hash, from the high end."""
    return tuple(value >> shift & _MASK for shift in range((BANDS - 1) * BAND_BITS, -1, -BAND_BITS))


def band_neighbours(value: int, *, max_distance: int) -> tuple[list[int], ...]:
    """For each band the values to look up, sorted; every hash within ``max_distance`` is found by at least one."""
    reach, wider = divmod(max_distance, BANDS)
    return tuple(
        sorted(band ^ flips for flips in _flips(reach if place >= BANDS - 1 - wider else reach - 1))
        for place, band in enumerate(bands(value))
    )


@lru_cache(maxsize=BAND_BITS + 2)
def _flips(most: int) -> tuple[int, ...]:
    """All values of a band with at most that many bits set; none for -1."""
    chosen = (places for count in range(most + 1) for places in combinations(range(BAND_BITS), count))
    return tuple(sum(1 << place for place in places) for places in chosen)
