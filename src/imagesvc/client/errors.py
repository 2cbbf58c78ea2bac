"""What a call of the client can end in."""

from imagesvc.client.models import Problem


class ClientError(Exception):
    """One line that says what happened, without any secret."""


class Refused(ClientError):
    """The service said no to this request; another time it would say the same."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.told)
        self.problem = problem


class DoorClosed(Refused):
    """The credential is not good for this, or the link is expired, revoked or used up: nothing more is to be sent."""


class ServerAway(ClientError):
    """Nobody answers at that address, or the service kept asking to come again later, for as long as patience lasts."""


class FileUnusable(ClientError):
    """A file cannot be read, or is being written while it is read."""
