"""Durable background work.

    models.py      table: tasks
    leases.py      statements that claim, renew, finish, fail and give back a task, each conditional on its lease
    runner.py      runs one task: claim, keep the lease alive, handler, retry or dead letter
    queue.py       wakes workers through arq; the sweep sends again what is due
    fair_queue.py  runs tasks that belong to a group, the group with the fewest running first
    completion.py  waits until images are processed or tasks have ended

A task is a row that is inserted in the transaction that makes it necessary. arq only wakes a worker, so Valkey may lose
everything at any time::

    pending --claim (lease, attempt counted)--> running --result transaction--> row deleted
       ^                                          |
       |--- failed, attempts left: due later -----|
       |--- SIGTERM: attempt given back ----------|
       |--- lease expired: claimed again ---------|--- last attempt failed ---> dead (a dead letter)

A task goes through arq when it should start at once and is one of many of equal rank. It goes through the fair queue
when one caller can create thousands at once (the downloads of a job, the deliveries of a webhook): ``turn_of`` names
its group, and arq, which is first come, first served, never sees it.
"""
