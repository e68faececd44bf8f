"""What the connector may do in a hospital's Microsoft 365: each permission of Microsoft Graph, its type and its reason.

Exactly those that the runtime uses: `uses` names the operations of `runtime/meeting/graph.py`, or the sign-in. Ids are
Graph's own, the same in every tenant (Microsoft Graph documentation, "Microsoft Graph permissions reference").
"""

from dataclasses import dataclass
from enum import StrEnum

GRAPH = "00000003-0000-0000-c000-000000000000"
"""The application id of Microsoft Graph in every tenant."""
SIGN_IN = "sign-in"


class PermissionType(StrEnum):
    APPLICATION = "application"
    DELEGATED = "delegated"

    @property
    def in_manifest(self) -> str:
        """How an app registration spells it (`resourceAccess`)."""
        return "Role" if self is PermissionType.APPLICATION else "Scope"


@dataclass(frozen=True)
class Permission:
    """`reason` is read by a hospital's administrator; `uses` binds the permission to what needs it."""

    name: str
    id: str
    type: PermissionType
    reason: str
    uses: frozenset[str]


MEETINGS = Permission(
    "OnlineMeetings.ReadWrite.All",
    "b8bb2037-6e08-44ac-a4ea-4674e010e2a4",
    PermissionType.APPLICATION,
    "Make the Teams meeting of a visit in the name of the clinician who begins it, switch its lobby on, and learn who"
    " waits, who is connected and who left. It reaches only people to whom the access policy of step 2 is granted.",
    frozenset({"createOrGet", "lobby", "subscribe", "subscriptions", "renew", "unsubscribe"}),
)
JOIN_LINK = Permission(
    "VirtualAppointment.Read.All",
    "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954",
    PermissionType.APPLICATION,
    "Get the link by which a patient joins in the browser, without installing Teams.",
    frozenset({"getVirtualAppointmentJoinWebUrl"}),
)
OPENID = Permission(
    "openid",
    "37f7f235-527c-4136-accd-4a02d197296e",
    PermissionType.DELEGATED,
    "Let a person sign in with their Microsoft 365 account.",
    frozenset({SIGN_IN}),
)
PROFILE = Permission(
    "profile",
    "14dad69e-099b-42c9-810b-d002981feec1",
    PermissionType.DELEGATED,
    "See the name of who signed in, so that they can check that it is their own account.",
    frozenset({SIGN_IN}),
)

CONNECTOR = (MEETINGS, JOIN_LINK, OPENID, PROFILE)
PORTAL = (OPENID, PROFILE)
"""The portal signs people in, and may do nothing in Graph."""
