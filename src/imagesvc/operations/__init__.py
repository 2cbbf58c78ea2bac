"""Operators' tools: dead letters, reprocessing, and audits of the bucket; and the removal of accounts.

router.py           routes for tasks and dead letters
dead_letters.py     lists tasks, retries and drops dead letters
reprocessing.py     processes selected blobs again, a bounded number of tasks at a time; any worker continues a run
blob_filter.py      the conditions that select blobs
audit.py            compares tables and bucket in both directions; an interrupted audit can be resumed
audit_runs.py       lists audits
audit_queries.py    statements of the audit
account_removal.py  removes the data of a deleted account
handlers.py         the kind of task, with its retry policy
queries.py          statements about tasks (ORM)
models.py           tables: audits, reprocessings
schemas.py          request and response bodies
errors.py           failures of these routes

All statements use the ORM, or SQL text in its sessions: operators run them rarely.
"""
