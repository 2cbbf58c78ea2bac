"""What the score is made from: one physical measurement a module, each blind to what the others measure.

::

    planes.py   luma of pixels, as a stack of equally large planes; the small filters that the others share
    tiles.py    where to cut native-resolution tiles from a large picture: its busiest and its calmest places
    edges.py    sharpness: how wide the strongest edges are, in pixels, in each of four directions
    grain.py    noise: what is left in the calmest blocks once everything smooth is taken away, in grey levels
    blocks.py   compression: the steps that JPEG rounded its coefficients to, and the visible jumps on its 8 x 8 grid
    tones.py    exposure and contrast: where the highlights end, what is clipped, how far the tones are spread

They return quantities (pixels, grey levels, fractions), not judgements: ``processing/score.py`` judges. None of them
changes when the picture is mirrored or turned by a right angle, but for the pixels that fall off a border.
"""
