"""Which contents need not be sent: users ask about their own images, links about what came through them.

router.py   the routes
service.py  runs the statements with asyncpg
"""
