"""The infrastructure as Pulumi components: one Azure concern a file, `geography.py` the table of contents.

Imports `schemas` and nothing else of ours. Every component's type token is `teams-ehr-connector:<area>:<Component>`,
its children are named from it, and nothing is created inside `apply`. No component needs access to a data plane.
"""
