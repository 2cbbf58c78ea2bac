"""Resumable uploads: tus 1.0 with core, creation, creation-with-upload, expiration, termination and checksum.

docs/resumable.md tells the protocol, its states, the interleavings that it survives and what a crash leaves::

    router     headers in, headers out; one source for users, one for links
    headers    what tus says in headers, read and written; checksum: Upload-Checksum
    service    create, append, tell, terminate
    turns      a newer request makes an older one store what it has, and waits for that
    receiving  one PATCH: the tail it begins with, parts, the tail it leaves
    stream     the bytes of one request as they arrive: stalls, cuts, too many
    finishing  all bytes are there: hash, judge, admit (the task ``finish_resumable``)
    expiry     ends what nobody goes on with, forgets old results

    receiving --last byte counted--> finishing --admitted--> done --time--> forgotten
        |                                |
        +-- no image, DELETE, expiry ----+-- no image, other digest, link revoked --> refused --time--> forgotten
"""
