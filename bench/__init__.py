"""What backs each figure in docs/performance.md; ``python -m bench`` measures, prints and writes it.

A section is a module with this function and a line in ``sections.py``::

    async def measure(servers: Servers) -> str:
        '''Figures as Markdown: a table, and what they are held against.'''
        settings = await servers.fresh("reads")  # a migrated database and a bucket of its own
        async with web(settings, servers.folder / "web.log") as (url, pid):  # `imagesvc serve` (bench/programs.py)
            ...

The figures replace what stands between ``<!-- measured: NAME -->`` and ``<!-- end of NAME -->`` in the document, below
a line that tells command, date and machine. Explanations are written by hand around it, and stay. What is compared is
measured in turns within one run, several rounds of it, and told as the median with the least and the most beside it.
A section takes two minutes at the most and says on stderr what it does (``progress.say``).

sections.py    the list of sections
page.py        the figures' places in docs/performance.md
machine.py     the circumstances of a run
servers.py     PostgreSQL, Valkey and S3 of a run, synced to disk as in production, in a temporary folder
programs.py    processes of a run and what they used; load.py and direct.py are such processes

score.py and perceptual_hash.py are experiments on pixels and run by themselves (docs/decisions/0006-judging-pixels.md).
"""
