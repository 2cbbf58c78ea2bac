"""Counts that are exact at once, at a cost that does not grow with the number of images.

Triggers append every change to ``stats_deltas`` in its own transaction, the fold adds them up into ``stats_counts`` in
the background, and the views add both: folding never changes what they say.
"""
