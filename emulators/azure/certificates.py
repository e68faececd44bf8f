"""Certificates that operators bring into a vault, and whether gateway and environment may read the ones they name.

Owns which there are: those of the public hosts of the local stacks, made by the run's own authority as soon as a vault
of ours is there, because Resource Manager makes none. Each is what Key Vault shows of a certificate to those who read
it: a secret, the certificate with its key as PKCS #12. Leaves out issuance and renewal.
"""

import base64
import re
import ssl
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from emulators import tls
from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.permissions import permitted
from emulators.azure.roles import READ
from emulators.azure.store import Contents
from emulators.azure.vault_data import VaultData
from schemas.stack_config import PROJECT

BROUGHT = {"public-host": ("localhost",), "portal-host": ("localhost",)}
"""Hosts by the name of a certificate."""
SECRETS = "Microsoft.KeyVault/vaults/secrets"
CONTENT_TYPE = "application/x-pkcs12"


def bring(state: Path, contents: Contents, vault: Mapping[str, Any]) -> None:
    """Into a vault of ours that has none yet."""
    if object_at(vault, "tags").get("application") != PROJECT:
        return
    data = VaultData(state, vault["name"])
    for name, hosts in BROUGHT.items():
        arm_id = f"{vault['id']}/secrets/{name}"
        if contents.get(arm_id) is None:
            kept = data.secret(name) or data.set_secret(
                name, _pkcs12(state, f"{vault['name']}-{name}", hosts), content_type=CONTENT_TYPE
            )
            contents.put(_shown(arm_id, name, vault, kept["version"]))


def with_its_vault(key: str, vaults: Collection[str]) -> bool:
    """Whether this is a certificate that was brought into one of these; all in lower case."""
    vault, _, name = key.rpartition("/secrets/")
    return name in BROUGHT and vault in vaults


def check(state: Path, contents: Contents, arm: Mapping[str, Any]) -> None:
    """Raises AzureError where a certificate is not in the vault, or its reader may not read it."""
    for uri, identity_id in _named(contents, arm):
        vault, name = _place(contents, uri)
        if vault is None or VaultData(state, vault["name"]).secret(name) is None:
            message = f"'{arm['name']}': the vault has no certificate at {uri}"
            raise AzureError(400, "ApplicationGatewayKeyVaultSecretException", message)
        principal = str(value_at(contents.get(identity_id) or {}, "properties.principalId"))
        if not permitted(contents, {principal}, f"{vault['id']}/secrets/{name}", READ):
            message = f"'{arm['name']}': access denied for the secret {uri}: {identity_id or 'no identity'} has no role"
            raise AzureError(400, "ApplicationGatewayKeyVaultSecretAccessDenied", message)


def context_of(state: Path, contents: Contents, certificate_id: str, host: str) -> ssl.SSLContext:
    """What an environment ends TLS with: its certificate as it is in the vault now; a leaf where none is bound."""
    if not certificate_id:
        name, _, port = host.partition(":")
        tls.ensure_leaf(state, [name], f"ingress-{name}-{port}")
        return tls.server_context(state, f"ingress-{name}-{port}")
    certificate = contents.get(certificate_id) or {}
    vault, name = _place(contents, str(value_at(certificate, "properties.certificateKeyVaultProperties.keyVaultUrl")))
    secret = VaultData(state, vault["name"]).secret(name) if vault else None
    if secret is None:
        raise AzureError(400, "CertificateNotFound", f"{certificate_id}, which {host} is bound to, is not in its vault")
    key, leaf, issuers = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert leaf is not None
    return tls.context_with(key, [leaf, *issuers])


def _named(contents: Contents, arm: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """URI of each certificate, and the id of the identity that reads it."""
    if arm["type"] == "Microsoft.Network/applicationGateways":
        identity_id = next(iter(object_at(arm, "identity.userAssignedIdentities")), "")
        for certificate in list_at(arm, "properties.sslCertificates"):
            if not certificate.get("keyVaultSecretId"):
                raise AzureError(501, "NotEmulated", "certificates that are in no vault")
            yield str(certificate["keyVaultSecretId"]), identity_id
    elif arm["type"] == "Microsoft.App/managedEnvironments/certificates":
        reference = object_at(arm, "properties.certificateKeyVaultProperties")
        if not reference.get("keyVaultUrl"):
            raise AzureError(501, "NotEmulated", "certificates that are in no vault")
        environment = contents.get(arm["id"].rsplit("/certificates/", 1)[0]) or {}
        assigned = {i.lower() for i in object_at(environment, "identity.userAssignedIdentities")}
        if str(reference.get("identity")).lower() not in assigned:
            message = f"'{arm['name']}': {reference.get('identity')} is not assigned to the environment"
            raise AzureError(400, "InvalidCertificateIdentity", message)
        yield str(reference["keyVaultUrl"]), str(reference["identity"])


def _place(contents: Contents, uri: str) -> tuple[dict[str, Any] | None, str]:
    """The vault, if there is one, and the name of a secret's URI, whatever its version."""
    found = re.fullmatch(r"(https://[^/]+/)secrets/([0-9A-Za-z-]{1,127})(?:/[0-9a-f]{32})?/?", uri)
    if found is None:
        return None, ""
    vaults = contents.of_type("Microsoft.KeyVault/vaults")
    return next((v for v in vaults if v["properties"]["vaultUri"] == found[1]), None), found[2]


def _shown(arm_id: str, name: str, vault: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What Resource Manager shows of a certificate's secret."""
    uri = f"{vault['properties']['vaultUri']}secrets/{name}"
    properties = {
        "contentType": CONTENT_TYPE,
        "attributes": {"enabled": True},
        "secretUri": uri,
        "secretUriWithVersion": f"{uri}/{version}",
    }
    return {"id": arm_id, "type": SECRETS, "name": name, "apiVersion": vault["apiVersion"], "properties": properties}


def _pkcs12(state: Path, name: str, hosts: tuple[str, ...]) -> str:
    certificate_file, key_file = tls.ensure_leaf(state, hosts, f"vault-{name}")
    certificate, *issuers = x509.load_pem_x509_certificates(certificate_file.read_bytes())
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    packed = pkcs12.serialize_key_and_certificates(
        name.encode(), key, certificate, issuers, serialization.NoEncryption()
    )
    return base64.b64encode(packed).decode()
