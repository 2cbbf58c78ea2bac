"""The kind of task that this room handles, with its retry policy."""

from collections.abc import Mapping

from imagesvc.operations.account_removal import KIND, Removal
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, removal: Removal) -> Mapping[str, Kind]:
    return {KIND: Kind(handler=removal.remove, max_attempts=settings.task_max_attempts)}
