"""Promotion at run time: who may be served is decided at the start and each minute, from what is deployed and held.

statements.py   the table of statements (test stage): recorded here, published by the portal
signing.py      a statement signed by a key of the vault
revocations.py  the list of revocations that is held, and the channel by which a newer one comes
serials.py      the highest serials seen
standing.py     the decision of each connection, as it stands now
minutely.py     deciding at the start, and again each minute; looking for another list in between
rehearsals.py   a visit that was whole becomes a Rehearsal (worker, test stage)
"""
