"""Processes one image: bytes in, facts and files out. No database, storage, queue or settings; limits are passed in.

    sniff.py            detects the media type; needs no imaging library, because the web process uses it
    headers/            read size, frames and metadata blocks; bounded, decode nothing
    limits.py           limits of one image, checked against its header
    metadata/           camera, exposure, time and location from EXIF and XMP; bad metadata is a note
    facts.py            the facts about an image, validated when they leave the sandbox
    png_color.py        color profile from the gAMA and cHRM chunks of a PNG
    decode.py           decodes the first frame with Pillow; raises Refusal for a broken file
    pixel_modes.py      converts decoded pixels to the modes that renditions are made from
    rasters/            decode plain pixel layouts that Pillow declines or misreads
    color.py            conversion to sRGB, by profile or by code points
    renditions.py       resize and encode, from one decoding
    assessment.py       measures score and perceptual hash of the pixels
    score.py            the score and its defects
    quality/            the measurements behind the score
    perceptual_hash.py  the hash for near-duplicates
    hash_bands.py       bands of the hash, for an exact search
    pipeline.py         all steps for one image, in this order
    contract.py         the requests, and their outcomes
    sandbox/            runs pipeline.py in a confined process

The rest of the service uses ``sniff``, ``limits``, ``facts``, ``contract`` and ``sandbox``.

An outcome is Processed, Rejected (the file is at fault: the same bytes are always rejected) or Failed (the service
or the decoder is at fault: a retry may help). Nothing keeps state between images, so a crash leaves only a scratch
folder, which the next start of a worker removes.
"""
