"""The Python client of the service; the command line uses it. It imports nothing of the service itself.

    client.py         `Client`: upload, check, search, links
    transport.py      the HTTP connection: credentials, retries and their limits
    credentials.py    a token, an account with its password, or an invitation link
    models.py         what callers pass in and what the service answers
    errors.py         the errors of a call
    resumable.py      uploads one large file in parts over an unreliable network (tus)

    folder_upload.py  uploads whole folders: reads, checks and sends, with bounded memory
    files.py          finds the files below the named paths
    excludes.py       which names below a folder are not uploaded
    file_reader.py    reads a file and hashes it
    memory_budget.py  limits the bytes of files that are in memory
    results.py        the result of each file, and the callbacks that receive it
    journal.py        what an interrupted run need not repeat, in SQLite

A call returns what it was asked for or raises one of `errors.py`: the service refused the request (``Refused``, with
its problem); later requests would fail as well (``AccessDenied``); or the service stayed unavailable until the retry
timeout (``ServerUnavailable``).

::

    async with Client("https://images.example.org", token=key) as client:
        receipt = await client.upload(Path("shelf.jpg"), Context(store_id="S1"))
        async for image in client.images(q="shelf", limit=10):
            print(image["id"])
"""

from imagesvc.client.client import Client
from imagesvc.client.errors import AccessDenied, ClientError, FileUnreadable, Refused, ServerUnavailable
from imagesvc.client.models import Context, Image, Link, Problem, Receipt

__all__ = [
    "AccessDenied",
    "Client",
    "ClientError",
    "Context",
    "FileUnreadable",
    "Image",
    "Link",
    "Problem",
    "Receipt",
    "Refused",
    "ServerUnavailable",
]
