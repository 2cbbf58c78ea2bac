"""Invitations: a signed, expiring, revocable, limited right to upload without an account.

The token is a JWT whose ``jti`` is the row's id. It is verified first, then the row is looked at: revocation, expiry
and limits stand there. Counters change only in the database functions of admission, under the link's lock.
"""
