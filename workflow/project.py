"""The project's folder, its stacks and their state: where operators' commands find things.

Owns file access for the pure loader, the names of stacks, the image of the working tree, and the state folder
(`CONNECTOR_STATE`, else `.local`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.project_files import files_of
from emulators.azure.images import Images
from schemas.image import NO_IMAGE, WORKING_TREE, image_digest
from schemas.loading import Loaded, load_stack
from schemas.problems import Problem
from schemas.promotion.reading import Files
from schemas.stack_config import StackConfig
from schemas.vocabulary import Cloud
from workflow.errors import NotEmulated, StackInvalid, UnknownStack

STATE_VARIABLE = "CONNECTOR_STATE"
PROJECT_VARIABLE = "CONNECTOR_PROJECT"
SOURCE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """`root` holds Pulumi.yaml and the stacks' files, `state` everything that running them makes."""

    root: Path
    state: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Project":
        root = Path(environment.get(PROJECT_VARIABLE) or SOURCE).absolute()
        chosen = environment.get(STATE_VARIABLE)
        return cls(root, Path(chosen).absolute() if chosen else root / ".local")

    def stacks(self) -> list[str]:
        """The names of all stacks that have a file."""
        return sorted(f.name.removeprefix("Pulumi.").removesuffix(".yaml") for f in self.root.glob("Pulumi.?*.yaml"))

    def stack_file(self, stack: str) -> str:
        """The file's name in the project. Raises `UnknownStack`."""
        name = f"Pulumi.{stack}.yaml"
        if "/" in stack or not (self.root / name).is_file():
            raise UnknownStack(stack, self.stacks())
        return name

    def load(self, stack: str) -> Loaded:
        return load_stack(self.stack_file(stack), self.files.text)

    def valid(self, stack: str) -> StackConfig:
        """A valid stack. Raises `StackInvalid`, `UnknownStack`."""
        loaded = self.load(stack)
        if loaded.stack is None:
            raise StackInvalid(stack, loaded.errors)
        return loaded.stack

    def emulated(self, stack: str) -> tuple[StackConfig, tuple[Problem, ...]]:
        """A valid stack of the emulated cloud, with its warnings. Raises `StackInvalid`, `NotEmulated`."""
        loaded = self.load(stack)
        if loaded.stack is None:
            raise StackInvalid(stack, loaded.errors)
        if loaded.stack.cloud is not Cloud.EMULATED:
            raise NotEmulated(stack, [s for s in self.stacks() if s.startswith("local")])
        return loaded.stack, loaded.warnings

    @property
    def files(self) -> Files:
        return files_of(self.root)

    def image_of(self, stack: StackConfig) -> str | None:
        """The digest of the stack's image: as configured, or that of the working tree; None where there is none yet."""
        if stack.image == NO_IMAGE:
            return None
        if stack.image != WORKING_TREE:
            return stack.image
        code = (self.root / "runtime").resolve().parent
        return f"sha256:{image_digest(Images(self.state, code).files())}"


def current() -> Project:
    return Project.of(os.environ)
