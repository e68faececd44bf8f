"""What keeps an operator's command from doing its work.

WorkflowError               every one has `advice`: what the operator can do
├── UnknownStack            there is no file for that name
├── StackInvalid            the configuration has errors; `problems` are all of them
├── NotEmulated             the command works on a stack of the emulated cloud only
├── EngineFailed            pulumi ended with an error; its last lines are kept
├── NotReady                something started did not answer in time
└── VisitFailed             a demonstrated visit did not go as a visit should
"""

from collections.abc import Sequence

from schemas.problems import Problem


class WorkflowError(Exception):
    """The root. `str()` says what happened, `advice` what to do."""

    advice: str = ""


class UnknownStack(WorkflowError):
    def __init__(self, stack: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no stack {stack!r} (no file Pulumi.{stack}.yaml)")
        self.advice = f"stacks here: {', '.join(known) or 'none'}"


class StackInvalid(WorkflowError):
    def __init__(self, stack: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"the configuration of stack {stack} has {len(problems)} errors:")
        self.problems = tuple(problems)
        self.advice = "\n".join(map(str, problems))


class NotEmulated(WorkflowError):
    def __init__(self, stack: str, emulated: Sequence[str]) -> None:
        super().__init__(f"stack {stack} runs in Azure; this command works on the emulated cloud only")
        self.advice = (
            f"log in to your state backend and run: pulumi up --stack {stack} --policy-pack policies"
            f" (README, 'Going to real Azure'). Emulated stacks here: {', '.join(emulated) or 'none'}"
        )


class EngineFailed(WorkflowError):
    def __init__(self, command: str, code: int, output: str) -> None:
        super().__init__(f"pulumi {command} ended with {code}")
        self.advice = output.strip()


class NotReady(WorkflowError):
    def __init__(self, what: str, seconds: float, advice: str) -> None:
        super().__init__(f"{what} did not happen within {seconds:.0f} s")
        self.advice = advice


class VisitFailed(WorkflowError):
    def __init__(self, visit: str, reason: str, advice: str = "") -> None:
        super().__init__(f"visit {visit}: {reason}")
        self.advice = advice
