"""The ways in. All of them end in the same function: *admit one file* (``admission.Admission.admit``).

multipart, raw (router) -> an async iterator of bytes and its context -> admission -> one database function
"""
