"""What a decision is about, as it is deployed now: the connection's digest, and what stands for it in test.

Owns the value that ties a form to what was shown (`shown`): it covers the configuration, the test connection's, and the
evidence. Pure, but for the clock of nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.configuration import Served
from runtime.portal.catalogue import Catalogue, of_stage
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.canonical import canonical, digest
from schemas.promotion.decide import differences, is_one_person
from schemas.promotion.digest import connection_digest, connection_form
from schemas.promotion.statement import ConnectionReference, Evidence
from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import Stage


@dataclass(frozen=True)
class StandsFor:
    """A test connection beside a production one: `differing` are the values in which they must not differ, and do."""

    connection: EhrConnection
    sha256: str
    differing: tuple[str, ...]

    @property
    def reference(self) -> ConnectionReference:
        return ConnectionReference(id=self.connection.id, sha256=self.sha256)


@dataclass(frozen=True)
class Subject:
    """A connection as the approver is shown it. `test` is None for a test connection, and where there is none."""

    served: Served
    launch_host: str
    sha256: str
    same_person: bool
    test: StandsFor | None

    @property
    def form(self) -> dict[str, object]:
        return connection_form(self.served.organization, self.served.connection, self.launch_host)

    @property
    def needs_test(self) -> bool:
        return self.served.connection.stage is Stage.PRODUCTION

    def shown(self, evidence: Evidence) -> str:
        """What a form carries: the digest of everything that a decision rests on."""
        value = {
            "sha256": self.sha256,
            "samePerson": self.same_person,
            "test": {"id": self.test.connection.id, "sha256": self.test.sha256} if self.test else None,
            "evidence": evidence.model_dump(mode="json", by_alias=True),
        }
        return digest("portal-shown/1", canonical(value))


def subject_of(document: ConfigurationDocument, catalogue: Catalogue, served: Served) -> Subject:
    organization, connection = served
    owner = catalogue.organization(organization.id) or organization
    host = document.public_hosts.of(connection.stage)
    test = None
    if connection.stage is Stage.PRODUCTION:
        test = _standing_for(connection, owner, document)
    return Subject(served, host, connection_digest(owner, connection, host), is_one_person(owner, connection), test)


def _standing_for(connection: EhrConnection, owner: Organization, document: ConfigurationDocument) -> StandsFor | None:
    """Of the organisation's test connections the one that differs least; the first of several alike."""
    host = document.public_hosts.of(Stage.TEST)
    candidates = [
        StandsFor(test, connection_digest(owner, test, host), tuple(differences(test, connection)))
        for test in of_stage(owner, Stage.TEST)
    ]
    return least_differing(candidates)


def least_differing(candidates: Sequence[StandsFor]) -> StandsFor | None:
    return min(candidates, key=lambda c: len(c.differing), default=None)
