"""Images and blobs: read, develop, delete.

States of a blob and of an image, and who moves them::

    pending --worker--> ready       facts and the eager renditions are there
            --worker--> rejected    the file's fault: broken, too many pixels, a bomb
            --worker--> failed      ours: the last attempt to process it failed
    failed  --upload of the same content--> pending

``service`` reads, ``search/`` and ``similar/`` find, ``changes`` changes and deletes, ``shares/`` shows one to whoever
has a URL, ``processor`` is what the worker does.
A crash of the worker leaves a task whose lease runs out, and held keys that the reaper frees.
"""
