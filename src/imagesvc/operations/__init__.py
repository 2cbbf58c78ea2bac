"""What the people who run the service do to it: dead letters, reprocessing, audits of the bucket.

``dead_letters`` shows tasks, tries dead ones again and drops them. ``reprocessing`` walks over the blobs that an
operator has chosen, a bounded number of tasks at a time; its place is in the table, so that any worker goes on with it.
``audit`` compares tables and bucket in both directions, place by place; a crash leaves where it had come to.
"""
