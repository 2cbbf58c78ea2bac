"""Images and blobs: read, develop, delete.

States of a blob and of an image, and who moves them::

    pending --worker--> ready       facts and the eager renditions are there
            --worker--> rejected    the file's fault: broken, too many pixels, a bomb
            --worker--> failed      ours: the last attempt to process it failed
    failed  --upload of the same content--> pending

``service`` reads and deletes, ``darkroom`` is what the worker does, ``receipts`` is what a link's uploader sees.
A crash of the worker leaves a task whose lease runs out, and held keys that the reaper frees.
"""
