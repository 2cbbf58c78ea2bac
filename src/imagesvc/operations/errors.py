"""What can be wrong with what an operator asks for."""

from imagesvc.errors import Conflict, NotFound


class TaskNotFound(NotFound):
    """No task has this id; one that is done has no row."""

    slug, title = "task-not-found", "There is no such task"


class TaskNotDead(Conflict):
    """Only dead letters are retried and dropped: any other task ends by itself."""

    slug, title = "task-not-dead", "This task is no dead letter"
