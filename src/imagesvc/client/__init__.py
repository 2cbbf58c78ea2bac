"""The Python client of the service, which the command line is made of. It imports nothing of the service itself.

    client.py     upload, check, search, links: what one does with the service
    resumable.py  one large file over a bad line (tus)
    line.py       the connection: credentials, what is tried again, when, and for how long
    credentials.py   a token, a link, or an account with its password
    answers.py    what comes back

    run.py        a whole folder: read, ask, send what is missing; its memory is bounded (budget.py) whatever the folder
    files.py      which files are meant                     reading.py    what one holds
    outcomes.py   how each fares
    journal.py    what an interrupted run need not do again

A call ends in what was asked for, or in one of `errors.py`: the service said no (``Refused``, with its problem), said
that nothing more is to come (``DoorClosed``), or could not be reached for as long as patience lasts (``ServerAway``).

::

    async with Client("https://images.example.org", token=key) as client:
        sent = await client.upload(Path("shelf.jpg"), Context(store_id="S1"))
        async for image in client.images(q="shelf", limit=10):
            print(image["id"])
"""

from imagesvc.client.client import Client
from imagesvc.client.errors import ClientError, DoorClosed, FileUnusable, Refused, ServerAway
from imagesvc.client.models import Context, Problem, Sent

__all__ = [
    "Client",
    "ClientError",
    "Context",
    "DoorClosed",
    "FileUnusable",
    "Problem",
    "Refused",
    "Sent",
    "ServerAway",
]
