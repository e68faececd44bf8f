"""Secrets are references, never values: nothing secret passes through the configuration, the state or a template.

A container's variables are those of the Handover, which holds no secret; anything else must come by `secretRef` from
the vault. What Pulumi writes into a vault is the configuration document alone.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from policies.containers import containers, environments
from policies.judging import Subject, each, is_unknown, known, policy
from schemas.handover import PREFIX, Handover

VARIABLES = frozenset(PREFIX + field.upper() for field in Handover.model_fields)
CONFIGURATION_CONTENT_TYPE = "application/x-xz;base64"


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "app:ContainerApp":
            yield from _variables(subject)
            yield from _app_secrets(subject)
        case "keyvault:Secret":
            if (got := subject.get("properties", "contentType")) != CONFIGURATION_CONTENT_TYPE:
                yield f"properties.contentType: expected {CONFIGURATION_CONTENT_TYPE}, got {got}"
        case _:
            return


def _variables(subject: Subject) -> Iterator[str]:
    for name, container in containers(subject):
        for variable in each(known(container, "env")):
            key = str(known(variable, "name"))
            literal = known(variable, "value") is not None or is_unknown(variable, "value")
            if literal and key not in VARIABLES:
                yield f"{name}: {key}: expected a variable of the Handover, or a secretRef; got a literal value"
    for name, environment in environments(subject):
        if urlsplit(environment.get("CONNECTOR_DATABASE_URL", "")).password is not None:
            yield f"{name}: CONNECTOR_DATABASE_URL: expected no password"


def _app_secrets(subject: Subject) -> Iterator[str]:
    for secret in subject.items("configuration", "secrets"):
        if known(secret, "keyVaultUrl") is None and not is_unknown(secret, "keyVaultUrl"):
            yield f"configuration.secrets: {known(secret, 'name')}: expected keyVaultUrl and identity, got a value"
    for registry in subject.items("configuration", "registries"):
        if known(registry, "passwordSecretRef") is not None:
            yield f"configuration.registries: {known(registry, 'server')}: expected an identity, got a password"


POLICY = policy("secrets-by-reference", "Secrets are read from the vault at use, and never emitted.", judge)
