"""Jobs name the images of store visits by URL; workers download and measure them, and a report adds them up.

    router.py         the routes
    service.py        submit, get, list, cancel
    download_task.py  one image from its URL to its figures: the task's handler
    completion.py     ends an image, and the job with its last image
    handlers.py       the kind of task, with its retry policy
    report/           images, perimeter, seconds and score by store and day
    account_data.py   what belongs to an account
    queries.py        statements: asyncpg for downloads and reads, the ORM for the rest
    models.py         tables: jobs, visits, visit images, fetched URLs
    schemas.py        request and response bodies
    errors.py         failures of these routes

States of a job's image, and who changes them::

    waiting --downloaded, admitted, processed--> done          a worker
       |-----no such store, no image, no answer-> failed       at submission, or a worker
       |-----DELETE before it starts------------> cancelled    the caller

A transition and the job's counter change in one transaction under the job's lock. The transaction that leaves no image
waiting finishes the job. A crash leaves a task, which another worker takes over; the upload's id, which is the visit
image's id, shows what was admitted before.
"""
