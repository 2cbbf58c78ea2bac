"""Shares: one image shown to whoever has the token, as a rendition or as the original.

The token is a JWT that names the row; the row decides at each request. A share ends when it is withdrawn, when its time
is over, and with its image, its image's owner or that account being disabled.
"""
