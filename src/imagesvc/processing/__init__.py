"""Pure: bytes in, facts and pictures out. No database, storage, queue or settings; limits are passed in.

::

    sniff.py       the media type by the first bytes; also for the web process, so without an imaging library
    headers/       what a file says about itself (size, frames, metadata blocks), bounded, nothing decoded
    limits.py      what one image may ask for, checked against the header
    metadata/      camera, exposure, time and place from EXIF and XMP; bad metadata is absent and noted, never an error
    facts.py       what comes out, checked again when it is read back from the sandbox
    stated_colours.py  a profile of what a PNG states by its chunks
    decode.py      pixels, by Pillow; a broken file is refused here at the latest
    rasters/       the plain pixel layouts that Pillow does not know
    colour.py      to sRGB, by profile or by code points
    renditions.py  the sizes and formats, from one decoding
    judge.py       how good the pixels are, and what they resemble: score.py (with quality/), perceptual_hash.py
    process.py     the whole work on one image, in that order
    work.py        what can be asked for, and the outcomes
    sandbox/       runs process.py where a hostile file harms only itself

Imports point upwards in this list, and from the sandbox to all. The rest of the service uses ``sniff``, ``limits``,
``facts``, ``work`` and ``sandbox``.

An outcome is Processed, Rejected (the file's fault, final: the same bytes are rejected again) or Failed (ours or the
decoder's: trying again may help). Nothing here keeps state between images, so a crash leaves nothing but a scratch
folder, which the next worker's start removes.
"""
