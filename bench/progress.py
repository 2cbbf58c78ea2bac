"""Progress messages on stderr; stdout contains only the figures."""

import sys


def log_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
