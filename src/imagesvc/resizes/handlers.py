"""The kind of task that this room handles, with its retry policy."""

from collections.abc import Mapping

from imagesvc.resizes.resize_task import ResizeTask
from imagesvc.resizes.service import KIND
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, resizing: ResizeTask) -> Mapping[str, Kind]:
    """Somebody waits: three attempts are enough."""
    most = min(settings.task_max_attempts, 3)
    return {KIND: Kind(handler=resizing.make, on_exhausted=resizing.give_up, max_attempts=most)}
