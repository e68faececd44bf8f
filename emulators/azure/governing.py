"""What holds others in Resource Manager: locks, the policy of allowed locations, budgets.

Owns what each asks of itself, and what it does to other writes and deletes: as functions over the store's contents and
one ARM body, as in `rules.py`. Budgets only tell.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.store import Contents

LOCK = "Microsoft.Authorization/locks"
ASSIGNMENT = "Microsoft.Authorization/policyAssignments"
ALLOWED_LOCATIONS = "e56962a6-4747-49cd-b67b-bf8b01975c4c"
_DEFINITION = re.compile(r"/providers/Microsoft\.Authorization/policyDefinitions/([0-9a-f-]+)", re.IGNORECASE)
MONTHS_AHEAD = 12


def scope_of(arm: Mapping[str, Any]) -> str:
    """What an extension resource is about: the id before its own provider."""
    return str(arm["id"]).rsplit("/providers/", 1)[0]


# --- what they do to others -------------------------------------------------------------------------------------


def check_locks(contents: Contents, arm: Mapping[str, Any]) -> None:
    """A delete of what is locked, is below something locked, or has something locked below it, is refused."""
    key = arm["id"].lower()
    if arm["type"] == LOCK:
        return
    for lock in contents.of_type(LOCK):
        scope = scope_of(lock).lower()
        if _covers(scope, key) or _covers(key, scope):
            message = (
                f"The scope '{arm['id']}' cannot perform delete operation because following scope(s) are locked: "
                f"'{scope_of(lock)}'. Please remove the lock and try again."
            )
            raise AzureError(409, "ScopeLocked", message)


def check_location(contents: Contents, arm: Mapping[str, Any]) -> None:
    """A write of what has a region, in none of those that an assignment above it allows."""
    location = arm.get("location")
    if location is None or location.lower() == "global" or arm["type"] == "Microsoft.Resources/resourceGroups":
        return
    for assignment in contents.of_type(ASSIGNMENT):
        properties = assignment["properties"]
        enforced = properties.get("enforcementMode", "Default") == "Default"
        allowed = {region.lower() for region in _allowed(properties)}
        if enforced and _covers(scope_of(assignment).lower(), arm["id"].lower()) and location.lower() not in allowed:
            message = (
                f"Resource '{arm['name']}' was disallowed by policy. Policy identifiers: "
                f'\'[{{"policyAssignment":{{"id":"{assignment["id"]}"}}}}]\'.'
            )
            raise AzureError(403, "RequestDisallowedByPolicy", message)


def _covers(scope: str, key: str) -> bool:
    return f"{key}/".startswith(f"{scope}/")


def _allowed(properties: Mapping[str, Any]) -> list[str]:
    return list_at(properties, "parameters.listOfAllowedLocations.value")


# --- what is asked of themselves --------------------------------------------------------------------------------


def lock(contents: Contents, arm: Mapping[str, Any]) -> None:
    if (level := arm["properties"].get("level")) != "CanNotDelete":
        raise AzureError(501, "NotEmulated", f"locks of the level {level}")


def policy_assignment(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    definition = properties.get("policyDefinitionId") or ""
    found = _DEFINITION.fullmatch(definition)
    if not found or found[1].lower() != ALLOWED_LOCATIONS:
        raise AzureError(404, "PolicyDefinitionNotFound", f"The policy definition '{definition}' could not be found.")
    given = object_at(properties, "parameters")
    for unknown in sorted(given.keys() - {"listOfAllowedLocations"}):
        raise AzureError(400, "UndefinedPolicyParameter", f"the parameter '{unknown}' is not one of the definition's")
    if not _allowed(properties):
        message = f"The policy assignment '{arm['name']}' is missing the parameter(s) 'listOfAllowedLocations'."
        raise AzureError(400, "MissingPolicyParameter", message)


def budget(contents: Contents, arm: Mapping[str, Any]) -> None:
    """It starts with a month: this one, or one of the next twelve ("Budgets - Create Or Update", timePeriod)."""
    start = value_at(arm, "properties.timePeriod.startDate")
    if contents.get(arm["id"]) is None and start not in _starts(datetime.now(UTC)):
        message = f"Start date must be the first of this month or of one of the next {MONTHS_AHEAD}, got {start}."
        raise AzureError(400, "BadRequest", message)
    for notification in object_at(arm, "properties.notifications").values():
        if not notification.get("contactGroups") and not notification.get("contactEmails"):
            raise AzureError(400, "BadRequest", "At least one contact email or contact group must be specified.")
        if not 0 < notification["threshold"] <= 1000:
            raise AzureError(400, "BadRequest", "The threshold of a notification is between 0 and 1000 percent.")


def _starts(now: datetime) -> set[str]:
    months = [divmod(now.year * 12 + now.month - 1 + ahead, 12) for ahead in range(MONTHS_AHEAD + 1)]
    return {f"{year}-{month + 1:02d}-01T00:00:00Z" for year, month in months}
