"""Outbound HTTP to URLs that users supply. Neither the URL nor the host that answers is trusted.

    urls.py         which URLs are acceptable before any name is resolved; how logs show a URL
    addresses.py    which addresses may be reached: public and ``IMAGESVC_FETCH_ALLOW``, never our own servers
    network.py      resolves a name once, checks the addresses, and connects to one of them
    limits.py       the time limits and minimum speed of one fetch; the number of concurrent requests per host
    fetcher.py      GET as a stream, with checked redirects; POST without redirects
    errors.py       FetchRefused and FetchFailed, with the reasons that callers see

``network.py`` is the only place that opens connections. A literal address, a name and the target of a redirect all pass
its check, and the check applies to the address of the connection itself (against DNS rebinding).
"""

from imagesvc.fetching.errors import FetchFailed, FetchRefused
from imagesvc.fetching.fetcher import Fetched, Fetcher
from imagesvc.fetching.urls import MAX_URL_LENGTH, parse_url, without_query

__all__ = ["MAX_URL_LENGTH", "FetchFailed", "FetchRefused", "Fetched", "Fetcher", "parse_url", "without_query"]
