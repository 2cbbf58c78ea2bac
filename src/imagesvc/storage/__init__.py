"""Object storage.

bucket.py         the S3 bucket: put, read, delete, multipart uploads
loose_objects.py  keys that nothing owns, and the reaper that deletes their objects
models.py         table: loose objects
"""
