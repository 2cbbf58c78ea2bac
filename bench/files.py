"""Files to send: each has other bytes, the service takes all of them for JPEG; making one costs next to nothing."""

import os

HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


class Files:
    """One sender's files of one size: a buffer in which 16 bytes change from file to file."""

    def __init__(self, size: int) -> None:
        self._buffer = bytearray(HEAD + os.urandom(size - len(HEAD)))

    def next(self) -> bytearray:
        """The next file; it takes the place of the one before."""
        self._buffer[len(HEAD) : len(HEAD) + 16] = os.urandom(16)
        return self._buffer
