#!/bin/sh
# Copies the signed image, by digest, from the platform's registry to others; Azure copies, so they may be private.
# Copying again changes nothing, so it is also how a machine outside their network makes sure that they have it.
# Usage: tools/copy_image.sh FROM DIGEST SIGNER REGISTRIES
#   FROM        the platform's registry, as Resource Manager names it (/subscriptions/.../registries/NAME)
#   DIGEST      sha256:<64 hex digits>
#   SIGNER      who must have signed it, as the certificate names them: the workflow's address and branch
#   REGISTRIES  a line each: subscription id/registry name
set -eu

issuer=https://token.actions.githubusercontent.com
repository=teams-ehr-connector

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

matches() {
    printf '%s\n' "$2" | grep -Eqx "$1"
}

[ $# -eq 4 ] || die "usage: tools/copy_image.sh FROM DIGEST SIGNER REGISTRIES"
from=$1 digest=$2 signer=$3 registries=$4

matches '/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.ContainerRegistry/registries/[a-zA-Z0-9]{5,50}' \
    "$from" || die "expected the platform's registry by its resource id, got '$from'"
matches 'sha256:[0-9a-f]{64}' "$digest" || die "expected a digest (sha256:<64 hex digits>), got '$digest'"
[ -n "$registries" ] || die "expected at least one registry to copy to, got none: set GEOGRAPHY_REGISTRIES"
for target in $registries; do
    matches '[0-9a-f-]{36}/[a-zA-Z0-9]{5,50}' "$target" ||
        die "expected each registry as 'subscription id/registry name', got '$target'"
done

# Signatures are not copied with an image; the digest is the same everywhere, so what is verified here holds there.
image=${from##*/}.azurecr.io/$repository@$digest
cosign verify --certificate-identity "$signer" --certificate-oidc-issuer "$issuer" "$image" >/dev/null
for type in cyclonedx slsaprovenance1; do
    cosign verify-attestation --type "$type" --certificate-identity "$signer" --certificate-oidc-issuer "$issuer" \
        "$image" >/dev/null
done

for target in $registries; do
    az acr import --only-show-errors --subscription "${target%%/*}" --name "${target#*/}" \
        --registry "$from" --source "$repository@$digest" --repository "$repository"
    echo "${target#*/}.azurecr.io/$repository@$digest"
done
