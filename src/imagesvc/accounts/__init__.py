"""Accounts: who may come in, with which credential, and what each credential may do.

    service.py     who is calling: the admin token, an API key or an access token, judged by the row at each request
    users.py       accounts: make, change, delete            removal.py   the task that removes all that one had
    logins.py      password against access token             passwords.py rules and Argon2id
    keys.py        API keys                                  router.py    the routes, and the caller for every feature

States of an account, and who moves them::

    enabled <--admin--> disabled                   tokens end for good, keys, links and shares as long as it lasts
    either  --admin or itself--> being deleted     a task takes the images in batches, then the row; a crash leaves
                                                   the task, and until it has ended nobody sees any of it
"""
