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

What goes through arq and what through the fair queue:

* **arq**, first come, first served: tasks that should start at once, of which one request creates few. These are the
  kinds process_image, reprocess, make_rendition, resize, finish_resumable, announce_batch and remove_account. A
  reprocessing covers all images but has only ``IMAGESVC_REPROCESS_AT_ONCE`` tasks at a time.
* **The fair queue**: tasks of which one request or event source creates thousands. These are the kinds
  download_visit_image (the group is the job) and deliver_webhook (the group is the webhook). The column ``turn_of``
  names the group, and arq never receives such a task. A worker runs at most ``IMAGESVC_TURNS_AT_ONCE`` of them, and
  at most half of these for one group.
"""
