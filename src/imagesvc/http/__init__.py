"""HTTP manners that every route shares. Features import from here; nothing here knows a feature.

What a request passes, outermost first::

    refusal.py    answers given before the body was read reach the client all the same
    manners.py    request id, safe headers, one access log line, 500 for what nobody expected
    problems.py   every failure as application/problem+json; validation.py turns FastAPI's own into ours

What a route uses:

    problems.py     problems(…): the failures of a route, for its OpenAPI entry
    openapi.py      hand-written request bodies; the whole document, with our problems in it
    stored.py       StoredBytes: ranges, conditional requests, digests
    conditional.py  entity tags: If-Match, If-None-Match, If-Range      ranges.py  Range
    digests.py      Repr-Digest                                        filenames.py  names that callers send
    pages.py        keyset pages: signed cursors, Link: rel="next"

Routes of its own: health.py (/livez, /readyz, /metrics), docs.py (/docs, /openapi.json), problems.py (/problems/…).
"""
