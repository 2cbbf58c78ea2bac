"""Generated files to send: each has different bytes and the signature of a JPEG, and costs almost nothing to make."""

import os

JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


class GeneratedFiles:
    """Files of one size for one sender: one buffer in which 16 bytes change from file to file."""

    def __init__(self, size: int) -> None:
        self._buffer = bytearray(JPEG_HEAD + os.urandom(size - len(JPEG_HEAD)))

    def next(self) -> bytearray:
        """The next file, in the same buffer; overwrites the previous one."""
        self._buffer[len(JPEG_HEAD) : len(JPEG_HEAD) + 16] = os.urandom(16)
        return self._buffer
