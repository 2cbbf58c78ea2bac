"""Jobs name the pictures of store visits by URL; workers download and measure them, and a report adds them up.

    report/   images, perimeter, seconds and score by store and day

A job's images, and who moves them::

    waiting --downloaded, admitted, processed--> done          a worker (download_task.py)
       |-----no such store, no picture, no answer--> failed    at once, or a worker
       |-----DELETE before its turn----------------> cancelled  the caller

A transition and the job's counter change in one transaction under the job's lock (completion.py), and a job is
finished by the one that leaves none waiting. A crash leaves a task, which another worker takes up: what was admitted
before is known by the upload's id, which is the visit image's.
"""
