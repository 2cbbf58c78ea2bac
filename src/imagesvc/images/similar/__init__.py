"""Near-duplicates of an image among those that somebody may see, by the perceptual hashes of their blobs.

The search is exact: bands of the hash (``processing/hash_bands.py``) lead to all that may be near, and each is compared
whole. Which images somebody may see is asked only of the near ones, the nearest first (docs/decisions/0006).
"""
