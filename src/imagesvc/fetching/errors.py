"""Why something was not fetched. The texts are coarse: they tell nothing about networks that the caller cannot see."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "url-refused": "The URL may not be fetched: http or https, a public host and no credentials in it are needed.",
    "address-refused": "The host leads to no address that may be reached from here.",
    "not-reachable": "The host cannot be reached.",
    "tls-failed": "The host's certificate is not accepted, or no encrypted connection can be made.",
    "timed-out": "The host did not answer in time.",
    "too-slow": "The file came too slowly.",
    "cut-off": "The connection ended before the file did.",
    "bad-answer": "The host did not answer as HTTP asks for.",
    "encoded": "The host sent the file compressed, which was not asked for.",
    "too-large": "The file is larger than what is taken.",
    "too-many-redirects": "The host redirects too often.",
}
"""By slug; ``http-404`` and the like come with the status that the host answered with."""


class FetchRefused(Exception):
    """The URL or the address it leads to is not allowed. Final: asking again changes nothing."""

    def __init__(self, reason: str = "url-refused") -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


class FetchFailed(Exception):
    """The host did not give the file. ``retryable`` when it may do so later."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(REASONS.get(reason) or f"The host answered {reason.removeprefix('http-')}.")
        self.reason = reason
        self.retryable = retryable
