"""What operators do: dead letters, reprocessing, audits of the bucket; and the removal of accounts.

router.py           routes for tasks and dead letters
dead_letters.py     lists tasks, retries and drops dead letters
reprocessing.py     processes chosen blobs again, a bounded number of tasks at a time; any worker can continue it
blob_filter.py      which blobs an operator chose
audit.py            compares tables and bucket in both directions; continues where a crash interrupted it
audit_queries.py    statements of the audit
account_removal.py  removes everything that a deleted account had
handlers.py         the kind of task, with its retry policy
queries.py          statements about tasks (ORM)
models.py           tables: audits, reprocessings
schemas.py          request and response bodies
errors.py           failures of these routes
"""
