"""Containers run an image by digest, of the geography's registry, and are told that one; init has its own identity.

They run the image as it is: a command, a volume or a variable that comes twice could tell it something else than was
judged. And the stage that they are told is the stack's, because of production more is asked.
Also owns how the other policies read a container app's template: containers, and their environments.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from policies.judging import Subject, each, known, policy
from policies.tags import GEOGRAPHY

BY_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
OWN_REGISTRY = re.compile(r"cr(?P<geography>[a-z]+)(?:tst|prd)[0-9a-f]{6}\.azurecr\.(?:io|us|cn)")
INIT_IDENTITY = "/userassignedidentities/id-init-"
IMAGE, STAGE = "CONNECTOR_IMAGE", "CONNECTOR_STAGE"
COMMAND = ("python", "-m", "runtime")
LIFECYCLES = frozenset({"Init", "Main"})


def containers(subject: Subject) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and properties of each container and init container."""
    for kind in ("initContainers", "containers"):
        for container in subject.items("template", kind):
            yield str(known(container, "name")), container


def environments(subject: Subject) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and literal variables of each container; values that are unknown yet are left out."""
    for name, container in containers(subject):
        variables = {str(known(v, "name")): known(v, "value") for v in each(known(container, "env"))}
        yield name, {key: str(value) for key, value in variables.items() if value is not None}


def judge(subject: Subject) -> Iterator[str]:
    if subject.type != "app:ContainerApp":
        return
    for name, container in containers(subject):
        image = known(container, "image")
        if image is not None and not BY_DIGEST.search(str(image)):
            yield f"{name}: image: expected one by digest (@sha256:...), got {image}"
        if image is not None:
            yield from _of_own_registry(subject, f"{name}: image", str(image).partition("/")[0])
        told = {known(v, "name"): known(v, "value") for v in each(known(container, "env"))}.get(IMAGE)
        if image is not None and told is not None and told != image:
            yield f"{name}: {IMAGE}: expected the container's own image, got {told}"
        yield from _as_it_is(name, container)
    for name, environment in environments(subject):
        if (stage := environment.get(STAGE)) not in (None, subject.settings.stage):
            yield f"{name}: {STAGE}: expected {subject.settings.stage}, the stack's, got {stage}"
    if any(True for _ in subject.items("template", "volumes")):
        yield "template.volumes: expected none, got some"
    for registry in subject.items("configuration", "registries"):
        yield from _of_own_registry(subject, "configuration.registries", str(known(registry, "server")))
    for setting in subject.items("configuration", "identitySettings"):
        if (lifecycle := known(setting, "lifecycle")) not in LIFECYCLES:
            yield f"configuration.identitySettings: expected life cycle Init or Main, got {lifecycle}"
        if INIT_IDENTITY in str(known(setting, "identity") or "").lower() and lifecycle != "Init":
            yield f"configuration.identitySettings: expected life cycle Init for init's identity, got {lifecycle}"
    if not any(True for _ in subject.items("configuration", "identitySettings")):
        yield "configuration.identitySettings: expected a life cycle for each identity, got none"


def _of_own_registry(subject: Subject, where: str, server: str) -> Iterator[str]:
    """What is approved is a digest; that it comes from the geography's own registry is said by the registry's name."""
    geography, own = subject.get("tags", GEOGRAPHY), OWN_REGISTRY.fullmatch(server)
    if own is None or own["geography"] != geography:
        yield f"{where}: expected {geography}'s own registry, got {server}"


def _as_it_is(name: str, container: Mapping[str, Any]) -> Iterator[str]:
    command, arguments = (tuple(map(str, known(container, key) or ())) for key in ("command", "args"))
    if (*command, *arguments) != COMMAND:
        yield f"{name}: command: expected {' '.join(COMMAND)}, got another one"
    counts = Counter(str(known(v, "name")) for v in each(known(container, "env")))
    for variable, count in counts.items():
        if count > 1:
            yield f"{name}: {variable}: expected it once, got it {count} times"


POLICY = policy("containers", "Images are named by digest; an identity belongs to one phase of a container app.", judge)
