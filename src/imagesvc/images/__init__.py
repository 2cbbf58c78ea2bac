"""Images and blobs: read, process, edit, delete.

    router.py               routes: an image, its original and renditions, an upload, a link's receipt
    service.py              reads for a caller; waits for processing; renditions on request
    editing.py              title, description, visibility; deletion
    search/                 finds images by filters
    similar/                finds near-duplicates
    shares/                 URLs that show one image to everyone who has them
    finish_processing.py    the end of a task that processed a picture, in one statement
    processing_tasks.py     task handlers: facts and renditions in the sandbox, then one transaction
    derive.py               runs the sandbox on a stored object and stores the result files; resizes use it too
    handlers.py             the kinds of task, with their retry policies
    processing_problems.py  the problems that processing can end with
    retry.py                makes failed or rejected images pending again
    store_time_zone.py      the offset of a capture time: by the file, or by the store's time zone
    time_zone_walk.py       updates images after the time zone of their store changed
    account_data.py         what belongs to an account
    reads.py                statements that read, with their rows: asyncpg, one statement for each answer
    queries.py              statements that lock or change: the ORM, but for two
    models.py               tables: blobs, images, renditions, perceptual hashes, shares
    json_types.py           the JSON of an image, an upload and a receipt, as types
    image_json.py           builds that JSON from rows
    schemas.py              the request body of a change
    examples.py             examples for the OpenAPI page
    errors.py               failures of these routes

States of a blob and of an image, and who changes them::

    pending --worker--> ready       facts and the eager renditions exist
            --worker--> rejected    the file's fault: broken, too many pixels, decompression bomb
            --worker--> failed      our fault: the last attempt failed
    failed  --upload of the same content--> pending

A crash of the worker leaves a task whose lease expires, and held keys that the reaper deletes.
"""
