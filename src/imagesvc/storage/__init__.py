"""Object storage.

bucket.py         the S3 bucket
loose_objects.py  keys that may exist in the bucket while nothing owns them, and the reaper that deletes them
"""
