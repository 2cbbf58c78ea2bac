"""Measures every figure in docs/performance.md: ``python -m bench`` measures, prints and writes the document.

A section is a module with this function and an entry in ``sections.py``::

    async def measure(servers: Servers) -> str:
        '''Figures as Markdown: a table and the target.'''
        settings = await servers.new_settings("reads")  # a migrated database and a bucket of its own
        async with web(settings, servers.folder / "web.log") as (url, pid):  # runs `imagesvc serve` (programs.py)
            ...

The figures replace the text between ``<!-- measured: NAME -->`` and ``<!-- end of NAME -->`` in the document. Their
first line names the command, the date and the machine. The text around the markers is written by hand and is kept.
Candidates that are compared take turns within one run of several rounds; the figures are medians with minimum and
maximum. A section takes at most two minutes and logs its progress to stderr (``log_progress``).

    sections.py            the list of sections
    document.py            replaces the figures in docs/performance.md
    environment.py         describes the machine and the run
    servers.py             PostgreSQL, Valkey and S3 for a run, synced to disk as in production, in a temporary folder
    programs.py            starts the processes of a run and measures their CPU time and memory
    rounds.py              order of the candidates, ratios, median with minimum and maximum
    progress.py            progress messages on stderr
    api.py                 HTTP clients and links of a running service
    generated_files.py     upload files with different contents
    photos.py              photos for score.py and perceptual_hash.py
    search_data.py         a million images for search.py

Sections:

    uploads.py  batches.py  resumable.py  concurrent_clients.py  reads.py  processing.py  ready.py  resizes.py
    visits.py  jobs.py  stats.py  search.py  cli_upload.py

Programs that sections run as processes of their own:

    upload_client.py       sends files over HTTP
    read_client.py         sends requests without a body
    direct_put.py          PUTs files into the S3 server, without the service
    bare_app.py            a minimal web application that receives, hashes and stores a file
    bare_client.py         a minimal upload client

Experiments on image quality and similarity, run on their own (docs/decisions/0006-scores-and-perceptual-hashes.md):

    score.py               how well the quality score follows damage
    perceptual_hash.py     accuracy and speed of the search for near-duplicates
"""
