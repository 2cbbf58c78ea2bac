"""Runs the decoders in confined processes, so that a hostile file can harm only its own processing.

    sandbox.py       for the worker: starts the zygote, runs one image
    scratch.py       folders in memory for the files of one image
    zygote.py        forks one child per image, enforces its time limit, kills its process group
    child.py         confines itself, then runs ``imagesvc.processing.pipeline``
    confinement.py   resource limits, user, namespaces
    system_calls.py  the system-call filter
    libraries.py     imports that happen once, in the zygote
    memory.py        the zygote's memory in huge pages, which makes forking cheap
    protocol.py      the JSON messages between worker, zygote and child
    files.py         descriptors that are passed along

The zygote is started by exec with an empty environment and one descriptor, its control socket. It imports the imaging
libraries once, so that a fork costs milliseconds, and never reads a byte of an image. Each request is a small JSON
message with open descriptors: the original, readable; the reply and each possible output file, writable. The
child therefore needs no path, cannot create files, and cannot make the worker follow a link.

A child ends by its own exit, by its time limit (the zygote kills its process group), or with the zygote or the worker
(parent-death signals, and the closed socket). A crash leaves a scratch folder in memory, which the next
start of a worker removes, because its lock is free.
"""
