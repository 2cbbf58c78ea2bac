"""The page behind a link: shows what may be sent, and sends files with or without scripts.

router.py   the routes
"""
