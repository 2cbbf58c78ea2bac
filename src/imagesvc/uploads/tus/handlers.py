"""The kind of task that this room handles, with its retry policy."""

from collections.abc import Mapping

from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind
from imagesvc.uploads.tus.finish import FinishUpload


def kinds(settings: Settings, finishing: FinishUpload) -> Mapping[str, Kind]:
    most = settings.task_max_attempts
    return {"finish_resumable": Kind(handler=finishing.finish, on_exhausted=finishing.give_up, max_attempts=most)}
