"""What Container Apps refuses of a template: sizes, probes and scale rules.

Owns the combinations of "Containers in Azure Container Apps" (Consumption), the limits of `ContainerAppProbe` in the
REST reference with "Health probes in Azure Container Apps", and those of "Set scaling rules in Azure Container Apps".
"""

from collections.abc import Mapping
from typing import Any

from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError

PROBES = ("Liveness", "Readiness", "Startup")
LIMITS = {
    "failureThreshold": (1, 10),
    "initialDelaySeconds": (1, 60),
    "periodSeconds": (1, 240),
    "successThreshold": (1, 10),
    "timeoutSeconds": (1, 240),
}
MOST_REPLICAS = 1000


def check_template(template: Mapping[str, Any]) -> None:
    """Raises AzureError with the code that Azure gives."""
    _resources(template)
    for container in list_at(template, "initContainers"):
        if container.get("probes"):
            raise AzureError(400, "ContainerAppInvalidTemplate", "an init container has no probes")
    for container in list_at(template, "containers"):
        _probes(list_at(container, "probes"))
    _scale(object_at(template, "scale"))


def _resources(template: Mapping[str, Any]) -> None:
    """0.25 to 4 processors in steps of 0.25, and twice as many gigabytes."""
    for container in [*list_at(template, "containers"), *list_at(template, "initContainers")]:
        cpu, memory = value_at(container, "resources.cpu"), value_at(container, "resources.memory")
        if cpu is None and memory is None:
            continue
        allowed = {f"{quarters / 2:g}Gi": quarters / 4 for quarters in range(1, 17)}
        if str(memory) not in allowed or allowed[str(memory)] != cpu:
            message = f"expected 0.25 to 4 processors in steps of 0.25 and twice as many Gi, got {cpu} and {memory}"
            raise AzureError(400, "ContainerAppInvalidResourceTotal", message)


def _probes(probes: list[Any]) -> None:
    kinds = [str(probe.get("type")) for probe in probes]
    for kind, probe in zip(kinds, probes, strict=True):
        if kind not in PROBES or kinds.count(kind) > 1:
            raise _invalid(f"expected at most one probe of each of the types {', '.join(PROBES)}, got {kinds}")
        if not probe.get("httpGet"):
            raise AzureError(501, "NotEmulated", f"a {kind} probe without httpGet")
        for name, (least, most) in LIMITS.items():
            if not least <= (probe.get(name) or least) <= most:
                raise _invalid(f"{kind}: expected {name} from {least} to {most}, got {probe[name]}")
        if kind != "Readiness" and (probe.get("successThreshold") or 1) != 1:
            raise _invalid(f"{kind}: expected successThreshold 1, got {probe['successThreshold']}")


def _scale(scale: Mapping[str, Any]) -> None:
    fewest, most = int(scale.get("minReplicas") or 0), int(scale.get("maxReplicas") or 10)
    if not 0 <= fewest <= most <= MOST_REPLICAS:
        raise _invalid(f"expected 0 <= minReplicas <= maxReplicas <= {MOST_REPLICAS}, got {fewest} and {most}")
    for rule in list_at(scale, "rules"):
        requests = str(value_at(rule, "http.metadata.concurrentRequests") or "")
        if not rule.get("name"):
            raise _invalid("a scale rule needs a name")
        if not rule.get("http"):
            raise AzureError(
                501, "NotEmulated", f"the scale rule '{rule['name']}': only those of HTTP requests are known"
            )
        if not (requests.isdecimal() and int(requests) >= 1):
            raise _invalid(f"{rule['name']}: expected concurrentRequests of 1 or more, got '{requests}'")


def _invalid(message: str) -> AzureError:
    return AzureError(400, "ContainerAppInvalidTemplate", message)
