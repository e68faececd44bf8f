"""The templates that an independent rule set judges hold every resource of production, each under a name of its own."""

import json

from tests.checkov.templates import templates
from tests.support.program import sample, stack_of


def test_there_is_a_template_for_each_geography_and_nothing_of_azure_is_missing() -> None:
    made = templates(sample("prod").resources)
    assert made.keys() == {str(name) for name in stack_of("prod").geographies}
    emitted = [r for r in sample("prod").resources if r.type.startswith("azure-native:")]
    assert sum(len(t["resources"]) for t in made.values()) == len(emitted)


def test_no_two_resources_of_a_template_have_one_type_and_name() -> None:
    for template in templates(sample("prod").resources).values():
        names = [(r["type"], r["name"]) for r in template["resources"]]
        assert sorted(set(names)) == sorted(names)


def test_a_resource_stands_there_as_resource_manager_would_get_it() -> None:
    resources = templates(sample("prod").resources)["americas"]["resources"]
    (vault,) = (r for r in resources if r["type"] == "Microsoft.KeyVault/vaults")
    assert vault["properties"]["enablePurgeProtection"] is True
    assert vault["apiVersion"] == "2024-11-01"
    keys = {r["name"] for r in resources if r["type"] == "Microsoft.KeyVault/vaults/keys"}
    assert f"{vault['name']}/worker-signing" in keys


def test_a_template_is_json_that_says_what_it_is() -> None:
    template = json.loads(json.dumps(templates(sample("prod").resources)["emea"]))
    assert template["$schema"].endswith("/deploymentTemplate.json#")
