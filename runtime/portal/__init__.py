"""The portal of the test stack: administrators and approvers see their organisations, prove URLs and decide.

application.py  the portal as an ASGI application
routes.py       every route of it
access.py       who is signed in, and what they may see and do
sessions.py     the session of a signed-in person
forms.py        our own forms, told from others'
held.py         what is held between two requests, once
catalogue.py    the organisations of this geography, with the connections of both stages
sign_in.py      Microsoft sign-in and sign-out
entra.py        what is asked of Entra
proof.py        the approver proves one FHIR base URL
evidence.py     what was seen there
decision.py     what is shown before a decision, and what is signed after it
state.py        the state of a URL in one word, and its history
pages.py        organisations and connections
records.py      integration records, shown and exported
outbox.py       statements on their way into the repository
refusals.py     how this portal says no
"""
