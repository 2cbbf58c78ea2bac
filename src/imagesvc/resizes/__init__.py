"""Resizes on request: one size of one picture, made by a worker and answered under a token.

The token is a UUIDv5 of owner, content and parameters, so the same request by the same caller does the work once::

    pending --> started --> success   the result is stored, the source goes
                        --> rejected  the file's fault; asking again changes nothing
                        --> failed    ours, after the last attempt; asking again starts anew
    success, rejected, failed -- their time is over --> expired -- remembered for a while, for 410 --> no row
    expired, failed -- asked for again --> pending

A file that comes with the request is stored under a key that the row names, until the work has ended; of an image, the
unfinished task refers to the blob, which is why the blob stays as long. ``task_id`` names the one task that may write:
what an earlier one of the same token still does finds another id there and writes nothing.

request.py   reads a request      service.py   takes it, answers for it
resizing.py  the worker's part    expiry.py    ends what is over
"""
