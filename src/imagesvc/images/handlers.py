"""The kinds of task that this room handles, with the retry policy beside each."""

from collections.abc import Mapping

from imagesvc.images.processing_tasks import Darkroom
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, darkroom: Darkroom) -> Mapping[str, Kind]:
    most = settings.task_max_attempts
    return {
        "process_image": Kind(handler=darkroom.process_image, last_words=darkroom.give_up_image, max_attempts=most),
        "reprocess": Kind(handler=darkroom.redo, max_attempts=min(most, 3)),
        "make_rendition": Kind(handler=darkroom.make_rendition, max_attempts=min(most, 3)),
    }
