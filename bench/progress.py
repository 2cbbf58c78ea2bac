"""What a run is doing, on stderr: stdout has the figures alone."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
