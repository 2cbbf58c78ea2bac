"""The kinds of task that images define, with their retry policies."""

from collections.abc import Mapping

from imagesvc.images.processing_tasks import ImageProcessor
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind

MAX_ATTEMPTS_ON_REQUEST = 3
"""For work that a person asked for: they learn of a failure sooner."""


def kinds(settings: Settings, processor: ImageProcessor) -> Mapping[str, Kind]:
    max_attempts = settings.task_max_attempts
    fewer = min(max_attempts, MAX_ATTEMPTS_ON_REQUEST)
    return {
        "process_image": Kind(
            handler=processor.process_image, on_exhausted=processor.fail_image, max_attempts=max_attempts
        ),
        "reprocess": Kind(handler=processor.reprocess, max_attempts=fewer),
        "make_rendition": Kind(handler=processor.make_rendition, max_attempts=fewer),
    }
