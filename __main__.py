"""The Pulumi program: one copy of the infrastructure for each geography, once production may be what is configured."""

from pathlib import Path

import pulumi

from components.source import begin

project, values = Path.cwd(), pulumi.runtime.get_config_env()
source = begin(values, project)  # before the imports of what uses Azure's SDK, which take as long

from components.entra import stage_outputs  # noqa: E402
from components.geography import Geography  # noqa: E402
from components.program import approvals_of, configured_stack, geographies, pack_all  # noqa: E402
from components.promotion import decided, records  # noqa: E402

stack = configured_stack(values, pulumi.get_stack(), project)
approvals = approvals_of(project)
packed = pack_all(stack, approvals)
decisions = decided(stack, approvals, source, project)
approved = records(stack, decisions)
for name, args in geographies(stack, packed, project).items():
    pulumi.export(name, {**Geography(name, args).outputs, **approved[name]})
pulumi.export("entra", stage_outputs(stack))
