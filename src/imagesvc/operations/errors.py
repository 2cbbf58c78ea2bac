"""Errors of the operators' routes."""

from imagesvc.errors import Conflict, NotFound


class TaskNotFound(NotFound):
    """No task has this id. A completed task has no row."""

    slug, title = "task-not-found", "There is no such task"


class TaskNotDead(Conflict):
    """Only dead letters can be retried or dropped. Other tasks still run."""

    slug, title = "task-not-dead", "This task is not a dead letter"
