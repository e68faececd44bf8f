"""Rules of promotion: whose keys are pinned, where changes are proposed, where a production stack comes from."""

from collections.abc import Iterator

from schemas.problems import shown
from schemas.rules.rule import Violation, enum_text, geographies_of, repeated, rule
from schemas.stack_config import StackConfig
from schemas.unknown import known, lacks
from schemas.vocabulary import Cloud, Stage


@rule("portal-host-missing")
def test_has_a_portal(stack: StackConfig) -> Iterator[Violation]:
    for path, _, geography in geographies_of(stack):
        if stack.stage == Stage.TEST and geography.portal_host is None:
            yield Violation((*path, "portalHost"), "the portal's host name, because stage is test", "nothing")


@rule("portal-application-missing")
def test_names_the_portals_registration(stack: StackConfig) -> Iterator[Violation]:
    if stack.stage == Stage.TEST and stack.microsoft365.portal_application_id is None:
        expected = "the portal's app registration, because stage is test"
        yield Violation(("microsoft365", "portalApplicationId"), expected, "nothing")


@rule("portal-host-unused")
def production_has_no_portal(stack: StackConfig) -> Iterator[Violation]:
    for path, _, geography in geographies_of(stack):
        if stack.stage == Stage.PRODUCTION and isinstance(geography.portal_host, str):
            expected = "no portal: approvers decide in the test stack's"
            yield Violation((*path, "portalHost"), expected, shown(geography.portal_host))


@rule("repository-missing")
def test_names_its_repository(stack: StackConfig) -> Iterator[Violation]:
    if stack.stage == Stage.TEST and stack.promotion.repository is None:
        expected = "the repository in which the portal proposes changes, because stage is test"
        yield Violation(("promotion", "repository"), expected, "nothing")


@rule("repository-ambiguous")
def repository_is_a_url_or_a_folder(stack: StackConfig) -> Iterator[Violation]:
    repository = stack.promotion.repository
    if repository is not None and known(repository) and (repository.url is None) == (repository.folder is None):
        got = "neither" if repository.url is None else "both"
        yield Violation(("promotion", "repository"), "either url or folder", got)


@rule("repository-folder-in-azure")
def azure_has_no_repository_folder(stack: StackConfig) -> Iterator[Violation]:
    repository = stack.promotion.repository
    if stack.cloud == Cloud.AZURE and repository is not None and isinstance(repository.folder, str):
        expected = "the url of a repository, because cloud is azure"
        yield Violation(("promotion", "repository", "folder"), expected, shown(repository.folder))


@rule("promotion-source-missing")
def production_names_its_source(stack: StackConfig) -> Iterator[Violation]:
    if stack.stage == Stage.PRODUCTION and stack.promotion.source is None:
        yield Violation(("promotion", "source"), "the test stack from which this one is promoted", "nothing")


@rule("trusted-key-repeated")
def trusted_keys_differ(stack: StackConfig) -> Iterator[Violation]:
    keys = ((("promotion", "trustedKeys", i, "keyId"), k.key_id) for i, k in enumerate(stack.promotion.trusted_keys))
    return repeated(keys, "a key")


@rule("trusted-key-geography-missing")
def geography_of_a_trusted_key_is_configured(stack: StackConfig) -> Iterator[Violation]:
    for index, key in enumerate(stack.promotion.trusted_keys):
        if lacks(stack.geographies, key.geography):
            expected = "one of the stack's geographies: " + ", ".join(map(str, stack.geographies))
            yield Violation(("promotion", "trustedKeys", index, "geography"), expected, enum_text(key.geography))
