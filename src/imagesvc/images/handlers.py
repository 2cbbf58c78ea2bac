"""The kinds of task that images define, with their retry policies."""

from collections.abc import Mapping

from imagesvc.images.processing_tasks import ImageProcessor
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind

MAX_ATTEMPTS_ON_REQUEST = 3
"""Fewer, because a person is waiting for the result and should learn of a failure soon."""


def kinds(settings: Settings, processor: ImageProcessor) -> Mapping[str, Kind]:
    max_attempts = settings.task_max_attempts
    on_request = min(max_attempts, MAX_ATTEMPTS_ON_REQUEST)
    return {
        "process_image": Kind(
            handler=processor.process_image, on_exhausted=processor.fail_image, max_attempts=max_attempts
        ),
        "reprocess": Kind(handler=processor.reprocess, max_attempts=on_request),
        "make_rendition": Kind(handler=processor.make_rendition, max_attempts=on_request),
    }
