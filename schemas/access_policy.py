"""The Teams application access policy of a tenant: the PowerShell script that its Teams administrator runs.

Without it Graph answers an application's calls for meetings with 403. Owns the script and how values are quoted in it
(Microsoft documentation, "Configure application access to online meetings or virtual events",
"New-CsApplicationAccessPolicy", "Set-CsApplicationAccessPolicy", "Grant-CsApplicationAccessPolicy").

A person has one such policy at a time, so both stages share one by name: the script adds its application to the policy
that is there, and takes none away.
"""

from schemas.stack_config import PROJECT, Organization, StackConfig

MINUTES = 30
"""After which a granted policy is in force at the latest."""
_QUOTES = "'\u2018\u2019\u201a\u201b"
"""PowerShell ends a single-quoted string at any of these (about_Quoting_Rules)."""

_SCRIPT = """\
# Lets the Teams EHR connector make the Teams meetings of visits. Run it once, as a Teams administrator of
# {name}, in PowerShell with the module MicrosoftTeams:
#     Install-Module MicrosoftTeams -Scope CurrentUser
# -Group   the object id of the group of clinicians who begin visits; without it everybody in the organisation.
# -Policy  the name of the policy that they have already, if any: a person has one at a time. It is kept, and extended.
# It takes up to {minutes} minutes until it works. To take it back, run the last line with -PolicyName $null.
#Requires -Modules MicrosoftTeams
param([string] $Policy = {policy}, [string] $Group = '')
$ErrorActionPreference = 'Stop'
$tenant = {tenant}
$application = {application}
$description = {description}

Connect-MicrosoftTeams -TenantId $tenant | Out-Null
$found = Get-CsApplicationAccessPolicy | Where-Object {{ $_.Identity -in @($Policy, "Tag:$Policy") }}
if (-not $found) {{
    New-CsApplicationAccessPolicy -Identity $Policy -AppIds $application -Description $description
}} elseif ($found.AppIds -notcontains $application) {{
    Set-CsApplicationAccessPolicy -Identity $Policy -AppIds @{{ Add = $application }}
}}
if ($Group) {{
    Grant-CsApplicationAccessPolicy -PolicyName $Policy -Group $Group
}} else {{
    Grant-CsApplicationAccessPolicy -PolicyName $Policy -Global
}}
"""


def quoted(value: str) -> str:
    """A literal of PowerShell's that is the value, whatever is in it."""
    return "'" + "".join(c * 2 if c in _QUOTES else c for c in value) + "'"


def access_policy_script(stack: StackConfig, organization: Organization) -> str:
    return _SCRIPT.format(
        name=_one_line(organization.name),
        minutes=MINUTES,
        policy=quoted(PROJECT),
        tenant=quoted(organization.tenant_id),
        application=quoted(stack.microsoft365.application_id),
        description=quoted(f"Teams EHR connector: meetings of visits at {_one_line(organization.name)}"),
    )


def _one_line(text: str) -> str:
    """In a comment: what ends a line for some reader is a space."""
    return " ".join(text.split())
