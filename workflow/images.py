"""Which image each registry must have before an update: `python -m workflow.images STACK`, a line for each geography.

Prints `<subscription id>/<registry> sha256:...` of each geography that is not paused; `tools/copy_image.sh` copies it.
"""

import sys
from collections.abc import Iterator

from components.placement import Placement
from schemas.stack_config import StackConfig
from workflow.errors import WorkflowError
from workflow.project import Project, current


def wanted(project: Project, stack: StackConfig) -> Iterator[str]:
    own = project.image_of(stack)
    for name, geography in stack.geographies.items():
        image = stack.image_in(name, own)
        if image is not None:
            placement = Placement.of(name, geography, stack.stage, stack.cloud)
            yield f"{placement.subscription_id}/{placement.compact('cr')} {image}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m workflow.images STACK")
    try:
        project = current()
        for line in wanted(project, project.valid(sys.argv[1])):
            print(line)
    except WorkflowError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
