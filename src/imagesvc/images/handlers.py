"""The kinds of task that this room handles, with the retry policy beside each."""

from collections.abc import Mapping

from imagesvc.images.processing_tasks import ImageProcessor
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, processor: ImageProcessor) -> Mapping[str, Kind]:
    most = settings.task_max_attempts
    return {
        "process_image": Kind(handler=processor.process_image, on_exhausted=processor.give_up_image, max_attempts=most),
        "reprocess": Kind(handler=processor.redo, max_attempts=min(most, 3)),
        "make_rendition": Kind(handler=processor.make_rendition, max_attempts=min(most, 3)),
    }
