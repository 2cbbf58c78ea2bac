"""Webhooks: what has happened is told to URLs that accounts have named, signed by Standard Webhooks.

Events are rows that triggers make in the transaction of the fact itself (migrations, ``webhook_event``), each with a
task. A worker sends it; the same event may come twice, and carries the same ``webhook-id`` then::

    pending --any 2xx--> delivered
       ^----no, or no answer: again later, over a day--|---> failed    and the webhook is disabled, with a note,
       |                                                               unless others got through meanwhile
       |------------------redeliver--------------------------'

Of one image the events go out in their order: the next waits until the one before has ended. Tasks take turns by
webhook (tasks/turns.py), so that a slow receiver holds up nobody else.

service.py  subscribe, look, redeliver    delivering.py  one attempt: the task's handler
batches.py  when a batch has finished     router.py      the routes
"""
