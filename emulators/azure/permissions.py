"""Whether somebody may do something on a data plane: by a role that is assigned at the very thing, or above it."""

from collections.abc import Collection

from emulators.azure.roles import ROLES, role_id
from emulators.azure.store import Contents


def permitted(contents: Contents, principals: Collection[str], arm_id: str, action: str) -> bool:
    """`principals` are the object ids of whoever asks and of the groups that they are in."""
    for assignment in contents.of_type("Microsoft.Authorization/roleAssignments"):
        scope = assignment["id"].lower().rsplit("/providers/", 1)[0]
        properties = assignment["properties"]
        if (arm_id.lower() + "/").startswith(scope + "/") and properties["principalId"] in principals:
            role = ROLES.get(role_id(properties["roleDefinitionId"]))
            if role is not None and action in role.data_actions:
                return True
    return False
