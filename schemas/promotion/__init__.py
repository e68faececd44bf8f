"""Approval and promotion as values: statements, whose signatures count, and the decision that follows from them.

Pure, like all of `schemas/`: bytes and time come in, a verified value or a reason comes out.

    canonical.py   strict JSON in, canonical JSON (RFC 8785) out
    digest.py      what an approval is about: one connection, as 32 bytes
    statement.py   what the signed statements say
    envelope.py    DSSE: from a file's bytes to a verified statement, or to the reason why not
    trust.py       which keys count: those that image and stack both list
    revocation.py  which list of revocations is held
    promoted.py    what is promoted now
    reasons.py     every reason, one a rule, in words
    decision.py    what a decision rests on, and what it can be
    ledger.py      statements by connection, and which of several decides
    production.py  what production asks beyond an approval
    break_glass.py what an emergency waives
    likeness.py    in what test and production may differ
    decide.py      the decision
    reading.py     what a decision is made from, read from a project's files
    telling.py     decisions in words
"""
