"""What proves something later stays what it is: signing keys sign and do not leave, audit heads are written once.

A key of another kind or with other operations is none that a statement could be checked with, and one that can be
exported could sign elsewhere. Judged on every key and on every policy of immutability that is emitted.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from policies.judging import Subject, policy

KEY = {"kty": frozenset({"EC", "EC-HSM"}), "curveName": frozenset({"P-256"})}
OPERATIONS = {"sign", "verify"}


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "keyvault:Key":
            for property_, allowed in KEY.items():
                if (got := subject.get("properties", property_)) not in allowed:
                    yield f"properties.{property_}: expected {' or '.join(sorted(allowed))}, got {got}"
            operations = cast("Sequence[Any]", subject.get("properties", "keyOps") or ())
            if {str(o) for o in operations} != OPERATIONS:
                yield f"properties.keyOps: expected sign and verify, got {', '.join(map(str, operations)) or 'nothing'}"
            if subject.get("properties", "attributes", "exportable"):
                yield "properties.attributes.exportable: expected no key that leaves its vault"
        case "storage:BlobContainerImmutabilityPolicy":
            if not (subject.get("immutabilityPeriodSinceCreationInDays") or 0) > 0:
                yield "immutabilityPeriodSinceCreationInDays: expected at least a day"
            for appending in ("allowProtectedAppendWrites", "allowProtectedAppendWritesAll"):
                if subject.get(appending):
                    yield f"{appending}: expected nothing: a head is written once"
        case _:
            return


POLICY = policy("evidence", "Signing keys sign and stay in their vault; what is anchored is written once.", judge)
