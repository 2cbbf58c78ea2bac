"""Webhooks: sends events to URLs that accounts register, signed by Standard Webhooks.

    router.py         the routes
    service.py        subscribe, list, redeliver
    delivery_task.py  one attempt to deliver: the task's handler
    batch_events.py   the event `batch.finished`
    handlers.py       the kinds of task, with their retry policies
    account_data.py   what belongs to an account
    queries.py        statements: asyncpg for deliveries, the ORM for the rest
    models.py         tables: webhooks, deliveries
    schemas.py        request and response bodies
    errors.py         failures of these routes

An event is a row that a trigger inserts, with a task, in the transaction of the fact itself
(``sql/webhook_event.sql``). A worker sends it. The same event may be sent twice, with the same ``webhook-id``::

    pending --any 2xx--> delivered
       ^----other status or no answer: retried for a day--|--> failed   and the webhook is disabled, with a note,
       |                                                                unless other deliveries succeeded meanwhile
       |------------------redeliver-----------------------'

The events of one image are delivered in order: each waits until the one before it has ended. Deliveries go through the
fair queue, grouped by webhook, so that a slow receiver delays no other.
"""
