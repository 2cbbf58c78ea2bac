"""The service in numbers, for Prometheus.

    instruments.py  what a process counts while it works; module-level, as the library wants it
    census.py       what the servers hold (tasks, loose objects, images), asked when somebody looks, at most every 5 s
    page.py         the page of one process: all instruments, and the parts that it was given
    port.py         the worker's own port; the API has the route /metrics

Names and labels are API: add, never rename. Every label's values are few and known beforehand: a route's template, the
slug of a problem, the kind of a task; never what a caller sent. No layer below knows this room's callers, so whatever
it asks (a statement, a ping) is passed in.
"""
