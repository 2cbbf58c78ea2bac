"""Durable background work, and the keys that nothing owns.

A task is a row, inserted in the transaction that makes it necessary; arq only wakes a worker, so that Valkey may be
emptied at any time::

    pending --claim (lease, attempt counted)--> running --result transaction--> row deleted
       ^                                          |
       |--- failed, attempts left: due later -----|
       |--- SIGTERM: attempt given back ----------|
       |--- lease ran out: claimed again ---------|--- failed for the last time ---> dead (a dead letter)

``queue`` hands tasks to arq and sends again what is due, ``turns`` runs those that take turns without it, ``leases``
holds the statements, ``runner`` runs one task, ``loose`` holds, releases and reaps keys in the bucket.
"""
