"""Measurements for the score: one physical quantity per module, independent of the others.

    luma.py            luma of pixels as a stack of equally large planes; small shared filters
    tiles.py           where to cut native-resolution tiles from a large image: the most and the least detailed areas
    sharpness.py       width of the strongest edges, in pixels, in each of four directions
    noise.py           standard deviation of the noise in the smoothest blocks, in gray levels
    jpeg_artifacts.py  quantization steps of JPEG, and visible jumps on its 8 x 8 grid
    exposure.py        level of the highlights, clipped share, spread of the tones

They return quantities (pixels, gray levels, fractions); ``processing/score.py`` turns them into a score. Mirroring the
image or turning it by a right angle changes none of them, except through pixels at the border.
"""
