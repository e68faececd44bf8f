"""The operator's side of promotion: what is decided and why, and the few acts that change it.

judging.py     a stack of a project, decided
check.py       `check --promotion`: every decision
explain.py     `explain`: one connection, with its history
channel.py     the list of revocations that is published, merged or not
records.py     `records`: what is copied into the EHR
copying.py     connections from one stack's file to another's, comments kept
promote.py     `promote`: connections, statements and what is promoted, on a branch
operator.py    who acts: their tokens, the vaults and containers of a stack
revoke.py      `revoke`: a new list, published first, then proposed
glass.py       `break-glass`
keys.py        `trust`: which keys count
rehearse.py    `rehearse`: a visit on emulated EHRs
remote.py      the repository, as operators reach it
commands.py    the commands' names and options
"""
