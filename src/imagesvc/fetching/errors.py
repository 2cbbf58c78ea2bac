"""Why a URL was not fetched. The texts are coarse on purpose: they reveal nothing about internal networks."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "url-refused": "The URL is not allowed: it must be http or https, name a public host, and contain no credentials.",
    "address-refused": "The host has no address that this service may connect to.",
    "not-reachable": "The host cannot be reached.",
    "tls-failed": "The host's certificate is invalid, or the TLS connection failed.",
    "timed-out": "The host did not answer in time.",
    "too-slow": "The host sent the file too slowly.",
    "cut-off": "The connection ended before the file was complete.",
    "bad-answer": "The host's answer is not valid HTTP.",
    "encoded": "The host sent the file with a content encoding that was not requested.",
    "too-large": "The file is larger than the limit.",
    "too-many-redirects": "The host redirects too many times.",
}
"""Texts by slug. ``http-404`` and similar slugs are not listed: they carry the status that the host answered with."""


class FetchRefused(Exception):
    """The URL, or the address that its host resolves to, is not allowed. Permanent: a retry does not help."""

    def __init__(self, reason: str = "url-refused") -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


class FetchFailed(Exception):
    """The host did not deliver the file. ``retryable``: a later attempt may succeed."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(REASONS.get(reason) or f"The host answered {reason.removeprefix('http-')}.")
        self.reason = reason
        self.retryable = retryable
