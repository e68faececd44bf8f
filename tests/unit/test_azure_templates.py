"""What the emulated Container Apps refuses of a template, as Azure does."""

from typing import Any

import pytest

from emulators.azure.errors import AzureError
from emulators.azure.template_rules import check_template

INVALID, TOTAL = "ContainerAppInvalidTemplate", "ContainerAppInvalidResourceTotal"


def template(*probes: dict[str, Any], resources: Any = None, **scale: Any) -> dict[str, Any]:
    found = [{"httpGet": {"path": "/livez", "port": 8000}} | probe for probe in probes]
    container = {"name": "main", "probes": found, "resources": resources or {"cpu": 0.5, "memory": "1Gi"}}
    return {"containers": [container], "initContainers": [{"name": "init"}], "scale": scale}


def http(requests: Any) -> dict[str, Any]:
    return {"name": "requests", "http": {"metadata": {"concurrentRequests": requests}}}


@pytest.mark.parametrize(
    ("code", "refused", "message"),
    [
        (INVALID, template({"type": "Liveness"}, {"type": "Liveness"}), "at most one probe of each"),
        (INVALID, template({"type": "Health"}), "at most one probe of each"),
        (INVALID, template({"type": "Startup", "failureThreshold": 11}), "failureThreshold from 1 to 10, got 11"),
        (INVALID, template({"type": "Startup", "periodSeconds": 241}), "periodSeconds from 1 to 240, got 241"),
        (INVALID, template({"type": "Startup", "initialDelaySeconds": 61}), "initialDelaySeconds from 1 to 60"),
        (INVALID, template({"type": "Startup", "timeoutSeconds": -1}), "timeoutSeconds from 1 to 240, got -1"),
        (INVALID, template({"type": "Liveness", "successThreshold": 2}), "expected successThreshold 1, got 2"),
        ("NotEmulated", template({"type": "Liveness", "httpGet": None, "tcpSocket": {"port": 1}}), "without httpGet"),
        (INVALID, {"initContainers": [{"name": "init", "probes": [{"type": "Startup"}]}]}, "has no probes"),
        (TOTAL, template(resources={"cpu": 0.5, "memory": "2Gi"}), "twice as many Gi, got 0.5 and 2Gi"),
        (TOTAL, template(resources={"cpu": 0.3, "memory": "0.6Gi"}), "in steps of 0.25"),
        (TOTAL, template(resources={"cpu": 4.25, "memory": "8.5Gi"}), "0.25 to 4 processors"),
        (INVALID, template(minReplicas=3, maxReplicas=2), "got 3 and 2"),
        (INVALID, template(minReplicas=11), "got 11 and 10"),
        (INVALID, template(minReplicas=1, maxReplicas=1001), "got 1 and 1001"),
        (INVALID, template(rules=[{"http": {"metadata": {"concurrentRequests": "5"}}}]), "needs a name"),
        (INVALID, template(rules=[http("0")]), "of 1 or more, got '0'"),
        (INVALID, template(rules=[http("many")]), "of 1 or more, got 'many'"),
        ("NotEmulated", template(rules=[{"name": "queue", "custom": {"type": "postgresql"}}]), "'queue'"),
    ],
)
def test_a_template_that_azure_does_not_take_is_refused(code: str, refused: dict[str, Any], message: str) -> None:
    with pytest.raises(AzureError, match=message) as found:
        check_template(refused)
    assert found.value.code == code


def test_a_template_with_each_probe_and_a_rule_of_requests_is_taken() -> None:
    probes = [{"type": kind, "periodSeconds": 6, "failureThreshold": 10} for kind in ("Startup", "Liveness")]
    check_template(template(*probes, {"type": "Readiness"}, minReplicas=3, maxReplicas=10, rules=[http("30")]))
    check_template(template(resources={"cpu": 4, "memory": "8Gi"}))
