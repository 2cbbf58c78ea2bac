"""Reports which contents need not be sent: a user's own images, or the files that came through a link.

router.py   the routes
service.py  runs the statements of ``uploads/queries.py`` (asyncpg)
"""
