"""Webhooks: events are sent to URLs that accounts have named, signed by Standard Webhooks.

    router.py         the routes
    service.py        subscribe, list, redeliver
    delivery_task.py  one attempt to deliver: the task's handler
    batch_events.py   when a batch has finished
    handlers.py       the kinds of task, with their retry policies
    account_data.py   what belongs to an account
    queries.py        statements: asyncpg for deliveries, the ORM for the rest
    models.py         tables: webhooks, deliveries
    schemas.py        request and response bodies
    errors.py         failures of these routes

Events are rows that triggers insert in the transaction of the fact itself (``sql/webhook_event.sql``), each with a
task. A worker sends it. The same event may be sent twice, with the same ``webhook-id``::

    pending --any 2xx--> delivered
       ^----other status or no answer: retried for a day--|--> failed   and the webhook is disabled, with a note,
       |                                                                unless other deliveries succeeded meanwhile
       |------------------redeliver-----------------------'

The events of one image are delivered in order: the next waits until the one before has ended. Deliveries go through the
fair queue, grouped by webhook, so that a slow receiver delays nobody else.
"""
