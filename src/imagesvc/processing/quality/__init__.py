"""Measurements for the score: one physical quantity a module, independent of the others.

    luma.py            luma of pixels as a stack of equally large planes; small shared filters
    tiles.py           where to cut native-resolution tiles from a large picture: its busiest and its calmest places
    sharpness.py       width of the strongest edges, in pixels, in each of four directions
    noise.py           residue of the calmest blocks without their smooth part, in grey levels
    jpeg_artifacts.py  quantization steps of JPEG, and visible jumps on its 8 x 8 grid
    exposure.py        where the highlights end, what is clipped, how far the tones are spread

They return quantities (pixels, grey levels, fractions); ``processing/score.py`` turns them into a score. None changes
when the picture is mirrored or turned by a right angle, except for pixels at the border.
"""
