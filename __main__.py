"""The Pulumi program: one copy of the infrastructure for each geography, once production may be what is configured."""

from pathlib import Path

import pulumi

from components.entra import stage_outputs
from components.geography import Geography
from components.program import configured_stack, geographies
from components.promotion import decided, records

project = Path.cwd()
stack = configured_stack(pulumi.runtime.get_config_env(), pulumi.get_stack(), project)
decisions = decided(stack, project)
approved = records(stack, decisions)
for name, args in geographies(stack, project).items():
    pulumi.export(name, {**Geography(name, args).outputs, **approved[name]})
pulumi.export("entra", stage_outputs(stack))
