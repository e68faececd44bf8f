"""An emulated Azure for the types that this project emits: a Pulumi provider, a resource store, and the data planes.

`provider.py` speaks Pulumi's provider protocol, `operations.py` is Resource Manager over `store.py`, `supervisor.py`
owns the real processes behind resources. Nothing here is part of the image that runs in Azure.
"""
