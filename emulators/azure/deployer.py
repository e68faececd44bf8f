"""Who runs Pulumi in the emulated tenant: what `getClientConfig` answers, and the owner of operators' tokens."""

DEPLOYER_OBJECT_ID = "5d5d5d5d-0000-4000-8000-000000000001"
DEPLOYER_CLIENT_ID = "5d5d5d5d-0000-4000-8000-000000000002"
