"""The policy pack as the engine starts it (`--policy-pack policies`); every policy is mandatory.

But one that only an update must obey: whether connections are approved. In a preview it advises.
"""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.approval import APPROVED
from policies.pack import POLICIES
from policies.preview import on_configured

gc.disable()  # what a pack reads it keeps until it ends, with the preview or update that began it
on_configured(APPROVED.configured)
PolicyPack("teams-ehr-connector", POLICIES, EnforcementLevel.MANDATORY)
