"""The kind of task of this feature, with its retry policy."""

from collections.abc import Mapping

from imagesvc.accounts.users import REMOVE_ACCOUNT
from imagesvc.operations.account_removal import AccountRemoval
from imagesvc.settings import Settings
from imagesvc.tasks.runner import Kind


def kinds(settings: Settings, removal: AccountRemoval) -> Mapping[str, Kind]:
    return {REMOVE_ACCOUNT: Kind(handler=removal.remove, max_attempts=settings.task_max_attempts)}
