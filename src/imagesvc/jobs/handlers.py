"""The kind of task of this feature, with its retry policy."""

from collections.abc import Mapping

from imagesvc.jobs.download_task import DownloadTask
from imagesvc.jobs.service import KIND
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, downloads: DownloadTask) -> Mapping[str, Kind]:
    max_attempts = settings.task_max_attempts
    return {KIND: Kind(handler=downloads.download, on_exhausted=downloads.give_up, max_attempts=max_attempts)}
