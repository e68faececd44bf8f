"""Azure's own definitions of the emitted types: what the body of a PUT may hold, and what of it can change later.

`types.json` is an extract of Azure/bicep-types-az (MIT, see LICENSE). `supplement.json` is kept by hand, each entry
with its source: what the definitions do not say. `reading.py` reads both, `shape.py` makes a body of azure-native's
inputs, `check.py` checks it, `extract.py` makes the extract anew.
"""
