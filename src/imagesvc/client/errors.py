"""The errors of the client's calls."""

from imagesvc.client.models import Problem


class ClientError(Exception):
    """Its text is one line that says what happened and holds no secret."""


class Refused(ClientError):
    """The service refused this request and would refuse it again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class AccessDenied(Refused):
    """The credential does not allow this, or the link is expired, revoked or used up: later requests fail as well."""


class ServerUnavailable(ClientError):
    """The service could not be reached, or answered only with requests to retry, until the retry timeout."""


class FileUnreadable(ClientError):
    """A file cannot be read, or changes while it is read."""
