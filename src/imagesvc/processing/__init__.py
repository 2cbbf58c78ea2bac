"""Pure: bytes in, facts and pictures out. No database, storage, queue or settings; limits are passed in.

    sniff.py            the media type from the first bytes; also for the web process, so without an imaging library
    headers/            size, frames and metadata blocks of a file; bounded, nothing decoded
    limits.py           what one image may ask for, checked against the header
    metadata/           camera, exposure, time and place from EXIF and XMP; bad metadata is absent and noted
    facts.py            the result, validated again when it is read back from the sandbox
    png_color.py        a color profile from what a PNG states in its chunks
    decode.py           pixels, by Pillow; a broken file is refused here at the latest
    rasters/            plain pixel layouts that Pillow does not know
    color.py            conversion to sRGB, by profile or by code points
    renditions.py       sizes and formats, from one decoding
    assessment.py       score and perceptual hash of the pixels
    score.py            the score and its defects
    quality/            the measurements behind the score
    perceptual_hash.py  the hash for near-duplicates
    hash_bands.py       bands of the hash, for an exact search
    pipeline.py         the whole work on one image, in that order
    contract.py         what can be asked for, and the outcomes
    sandbox/            runs pipeline.py where a hostile file harms only itself

The rest of the service uses ``sniff``, ``limits``, ``facts``, ``contract`` and ``sandbox``.

An outcome is Processed, Rejected (the file's fault, final: the same bytes are rejected again) or Failed (our fault or
the decoder's: a retry may help). Nothing keeps state between images, so a crash leaves only a scratch folder, which
the next start of a worker removes.
"""
