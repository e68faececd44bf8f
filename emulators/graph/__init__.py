"""Emulated Microsoft Graph for online meetings, with a Teams room for the people who meet.

Owns the calls that a virtual visit needs (meetings, lobby, subscriptions to call events), their refusals and quota,
encrypted and signed change notifications, and the room at a meeting's `joinWebUrl`. Leaves out, and answers 404 or 501:
every other resource of Graph, attendance reports, SMS. What it was told to break is in `<state>/graph/faults.json`.
"""
