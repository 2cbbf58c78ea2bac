"""The task kind of this package, with its retry policy."""

from collections.abc import Mapping

from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind
from imagesvc.uploads.tus.finish import FinishUpload


def kinds(settings: Settings, finish_upload: FinishUpload) -> Mapping[str, Kind]:
    return {
        "finish_resumable": Kind(
            handler=finish_upload.finish,
            on_exhausted=finish_upload.give_up,
            max_attempts=settings.task_max_attempts,
        )
    }
