"""Azure's built-in roles that this cloud knows: their ids, and what each may do on data planes.

Owns the ids ("Azure built-in roles" of the documentation) and data actions. A role that is not here cannot be
assigned here.
"""

from dataclasses import dataclass

READ, LIST, SET = "secrets/getSecret", "secrets/readMetadata", "secrets/setSecret"
DELETE = "secrets/delete"
KEY_READ, KEY_CREATE, SIGN, VERIFY = "keys/read", "keys/create", "keys/sign", "keys/verify"
BLOB_READ, BLOB_WRITE, BLOB_DELETE = "blobs/read", "blobs/write", "blobs/delete"
EVERY_VAULT_ACTION = frozenset({READ, LIST, SET, DELETE, KEY_READ, KEY_CREATE, SIGN, VERIFY})


@dataclass(frozen=True)
class Role:
    name: str
    data_actions: frozenset[str] = frozenset()


ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"

ROLES: dict[str, Role] = {
    SECRETS_OFFICER: Role("Key Vault Secrets Officer", frozenset({READ, LIST, SET, DELETE})),
    "4633458b-17de-408a-b874-0445c86b69e6": Role("Key Vault Secrets User", frozenset({READ, LIST})),
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": Role("Key Vault Administrator", EVERY_VAULT_ACTION),
    "14b46e9e-c2b7-41b4-b07b-48a6ebf60603": Role(
        "Key Vault Crypto Officer", frozenset({KEY_READ, KEY_CREATE, SIGN, VERIFY})
    ),
    "12338af0-0e69-4776-bea7-57ae8d297424": Role("Key Vault Crypto User", frozenset({KEY_READ, SIGN, VERIFY})),
    "21090545-7ca7-4776-b22c-e363652d74d2": Role("Key Vault Reader", frozenset({LIST, KEY_READ})),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": Role("Storage Blob Data Reader", frozenset({BLOB_READ})),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": Role(
        "Storage Blob Data Contributor", frozenset({BLOB_READ, BLOB_WRITE, BLOB_DELETE})
    ),
    ACR_PULL: Role("AcrPull"),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": Role("Reader"),
    "3913510d-42f4-4e42-8a64-420c390055eb": Role("Monitoring Metrics Publisher"),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": Role("Contributor"),
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": Role("Owner"),
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": Role("User Access Administrator"),
}


def role_id(role_definition_id: str) -> str:
    """The GUID at the end of a role definition's ARM id."""
    return role_definition_id.rstrip("/").rsplit("/", 1)[-1].lower()
