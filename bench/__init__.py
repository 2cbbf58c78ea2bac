"""What backs each figure in docs/performance.md; ``python -m bench`` measures, prints and writes it.

intake.py      uploads beside a bare app (bare.py) and beside PUTs straight into the S3 server (direct.py)
processing.py  one picture in the sandbox, by stage
ready.py       from the answer to `ready`, by step
counts.py      the statistics at 10 thousand and at a million images

servers.py     PostgreSQL, Valkey and S3 of a run, synced to disk as in production, in a temporary folder
programs.py    processes of a run and what they used; load.py and direct.py are such processes
page.py        the figures' places in docs/performance.md
"""
