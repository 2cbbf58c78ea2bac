"""Run decoders where they can harm only themselves.

::

    worker process                     zygote                             one process an image
    sandbox.py   keeps a zygote  --->  zygote.py   forks, watches   --->  child.py   confines itself (confinement.py),
    scratch.py   folders in memory     the clock, buries                  then runs imagesvc.processing.pipeline

The zygote is started by exec with an empty environment and one descriptor, its control socket. It imports the imaging
libraries once, so that a fork costs milliseconds, and never reads a byte of an image. Each request arrives as a small
JSON message (protocol.py) with open descriptors: the original, readable; the reply and each file that may come out,
writable. So the child needs no name in the file system, cannot create files, and cannot make us follow a link.

What ends a child: its own exit; its clock (the zygote kills its process group, and whatever it left behind); the end of
the zygote or of the worker (parent-death signals, and the closed socket). What a crash leaves: a scratch folder in
memory, which the next start of a worker removes (its lock is free).
"""

from imagesvc.processing.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
