"""The kind of task that resizes define, with its retry policy."""

from collections.abc import Mapping

from imagesvc.resizes.resize_task import ResizeTask
from imagesvc.resizes.service import KIND
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind

MAX_ATTEMPTS = 3
"""Few, because the client is waiting for the result."""


def kinds(settings: Settings, resizing: ResizeTask) -> Mapping[str, Kind]:
    max_attempts = min(settings.task_max_attempts, MAX_ATTEMPTS)
    return {KIND: Kind(handler=resizing.run, on_exhausted=resizing.fail, max_attempts=max_attempts)}
