"""Outbound HTTP to addresses that strangers name: nobody is trusted.

urls.py       what a URL may look like; how it is shown in logs
addresses.py  which addresses may be reached: public ones, what ``IMAGESVC_FETCH_ALLOW`` names, never our own servers
network.py    resolves a name once, judges the addresses, and connects to one of those
pace.py       how long, how slowly and how many at a time
fetcher.py    GET in a stream, with redirects that are judged again; POST without them

The one place where a connection is made is ``network.py``: whatever leads there (a literal address, a name, a redirect)
is judged there, on the address that the connection then is made to.
"""

from imagesvc.fetching.errors import FetchFailed, FetchRefused
from imagesvc.fetching.fetcher import Fetched, Fetcher
from imagesvc.fetching.urls import MAX_URL_LENGTH, parse_url, without_query

__all__ = ["MAX_URL_LENGTH", "FetchFailed", "FetchRefused", "Fetched", "Fetcher", "parse_url", "without_query"]
