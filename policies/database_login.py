"""The database takes Entra identities only: there is no password to leak, share or rotate."""

from collections.abc import Iterator

from policies.judging import Subject, policy


def judge(subject: Subject) -> Iterator[str]:
    if subject.type != "dbforpostgresql:Server":
        return
    for login, expected in (("activeDirectoryAuth", "Enabled"), ("passwordAuth", "Disabled")):
        if (got := subject.get("authConfig", login)) != expected:
            yield f"authConfig.{login}: expected {expected}, got {got}"
    for password in ("administratorLogin", "administratorLoginPassword"):
        if subject.get(password) is not None or subject.waits_for(password):
            yield f"{password}: expected nothing"


POLICY = policy("entra-only-database", "The database takes Entra identities only.", judge)
