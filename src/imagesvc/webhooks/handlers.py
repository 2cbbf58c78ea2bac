"""The kinds of task of this feature, with their retry policies."""

from collections.abc import Mapping

from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind
from imagesvc.webhooks.batch_events import BatchFinishedTask
from imagesvc.webhooks.delivery_task import DeliveryTask
from imagesvc.webhooks.queries import DELIVER


def kinds(settings: Settings, delivery: DeliveryTask, batch_finished: BatchFinishedTask) -> Mapping[str, Kind]:
    return {
        DELIVER: Kind(
            handler=delivery.deliver, on_exhausted=delivery.give_up, max_attempts=settings.webhook_max_attempts
        ),
        "announce_batch": Kind(handler=batch_finished.announce, max_attempts=settings.task_max_attempts),
    }
