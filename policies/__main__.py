"""The policy pack as the engine starts it (`--policy-pack policies`); every policy is mandatory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.pack import POLICIES

PolicyPack("teams-ehr-connector", POLICIES, EnforcementLevel.MANDATORY)
