"""Prometheus metrics of the service.

    instruments.py      what a process counts while it works; module-level, as prometheus_client requires
    database_gauges.py  what the servers contain (tasks, loose objects, images), queried on a scrape, at most every 5 s
    exposition.py       the metrics page of one process: all instruments, and the collectors passed to it
    endpoint.py         the metrics port of the worker; the API has the route /metrics

Metric names and labels are API: add, never rename. Each label has few values, known in advance: the template of a
route, the slug of a problem, the kind of a task. A label never contains what a caller sent. This package is at the
bottom of the layers, so callers pass in what it needs (a statement to run, a ping).
"""
