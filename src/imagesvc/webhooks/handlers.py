"""The kinds of task that this room handles, with the retry policy beside each."""

from collections.abc import Mapping

from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind
from imagesvc.webhooks.batch_events import BatchFinishedTask
from imagesvc.webhooks.delivery_task import DeliveryTask
from imagesvc.webhooks.queries import DELIVER


def kinds(settings: Settings, delivering: DeliveryTask, announcing: BatchFinishedTask) -> Mapping[str, Kind]:
    return {
        DELIVER: Kind(
            handler=delivering.deliver, on_exhausted=delivering.give_up, max_attempts=settings.webhook_max_attempts
        ),
        "announce_batch": Kind(handler=announcing.announce, max_attempts=settings.task_max_attempts),
    }
