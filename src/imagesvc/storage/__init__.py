"""Object storage.

bucket.py         the S3 bucket: put, read, delete, multipart uploads
group_sync.py     makes the writes of an S3 server on this machine durable, many at once
loose_objects.py  keys that nothing owns, and the reaper that deletes their objects
models.py         table: loose objects
"""
