"""What Entra must know of a stage, as outputs: registrations, consent addresses, federated credentials.

azure-native makes no app registration, so it is made once by hand, from these. Nothing here grows with organisations:
what is of one organisation prints `connector consent`.
"""

from collections.abc import Iterable
from typing import Any

import pulumi

from components.identities import Identity
from components.placement import Placement
from schemas.registration import Registration, issuer, registrations
from schemas.stack_config import Microsoft365, StackConfig


def stage_outputs(stack: StackConfig) -> dict[str, Any]:
    """Of the stage: each registration's manifest, and its permissions with their reasons, by application id."""
    found = registrations(stack)
    permissions = {
        r.application_id: [{"name": p.name, "type": str(p.type), "reason": p.reason} for p in r.permissions]
        for r in found
    }
    return {
        "registrations": {r.application_id: r.manifest() for r in found},
        "permissions": permissions,
        "consent": "connector consent [ORG...]",
    }


def federated_credentials(
    found: Iterable[Registration], identities: Iterable[Identity], microsoft365: Microsoft365, placement: Placement
) -> dict[str, list[dict[str, pulumi.Input[Any]]]]:
    """Of a geography's identities, by application id: what Graph takes below `federatedIdentityCredentials`."""
    serving = list(identities)
    return {
        registration.application_id: [
            {
                "name": placement.identity(identity.role),
                "issuer": issuer(microsoft365),
                "subject": identity.principal_id,
                "audiences": [microsoft365.endpoints.exchange_audience],
            }
            for identity in serving
            if identity.role in registration.roles
        ]
        for registration in found
    }
