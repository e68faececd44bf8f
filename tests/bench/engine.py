"""Previews on the real engine, as the benches run them."""

import re

from tests.support.stack import TestStack


def preview(stack: TestStack, exports: str) -> int:
    """How many resources it would create; `exports` is what `connector env` printed."""
    done = stack.pulumi("preview", "--non-interactive", exports=exports)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-3000:]
    told = re.search(r"\+ (\d+) to create", done.stdout)
    assert told, done.stdout[-3000:]
    return int(told[1])
