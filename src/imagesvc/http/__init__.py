"""HTTP that all routes share. Features import from here; nothing here knows a feature.

Middleware, outermost first:

    early_response.py     an answer sent before the body was read reaches the client
    request_context.py    request id, safe headers, one access log line, limits on bodies, 500 for the unexpected
    graceful_shutdown.py  SIGTERM: running requests finish, the rest get 503
    fast_routes.py        serves the busiest routes without FastAPI's routing

Used by routes:

    public_path.py        paths in answers, below the path of IMAGESVC_PUBLIC_URL
    web_parts.py          gives a route the services it needs, by type
    problems.py           failures as application/problem+json; `problems(…)` lists those of a route
    validation.py         turns FastAPI's validation errors into problems
    pagination.py         keyset pages: signed cursors, Link: rel="next"
    forms.py              reads application/x-www-form-urlencoded
    slow_clients.py       minimum upload speed: cuts off stalled or slow clients
    idempotent_routes.py  Idempotency-Key for a route
    idempotency.py        stores the answers of idempotent requests
    models.py             table: idempotency keys
    file_response.py      a stored file: ranges, conditional requests, digests
    ranges.py             Range
    conditional.py        entity tags: If-Match, If-None-Match, If-Range
    digests.py            Repr-Digest (RFC 9530)
    filenames.py          cleans the filenames that callers send
    timestamps.py         RFC 3339 timestamps in requests
    openapi.py            request bodies that FastAPI cannot describe; the whole document

Routes of its own:

    health.py             /livez, /readyz, /metrics
    docs.py               /docs, /openapi.json

A route is a fast route only if it is called for every file that arrives, needs no dependency of FastAPI, and a
measurement says what that saves (docs/performance.md).
"""
