"""What the program needs before it creates anything: the stack configuration and the image, read from the project.

Owns reading files for the Pulumi program, and refusing: every problem at once, before the first resource.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pulumi

from components.geography import GeographyArgs
from components.project_files import files_of
from schemas.configuration_document import Chunks, ConfigurationDocument, pack
from schemas.image import FILES, FOLDERS, NO_IMAGE, WORKING_TREE, belongs_to_image, image_digest
from schemas.loading import load_engine_config
from schemas.promotion.approvals import Approvals
from schemas.promotion.promoted import PromotedInvalid
from schemas.promotion.reading import approvals_below
from schemas.registration import consent_urls, registrations
from schemas.rules.clouds import ehr_urls
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName

Packed = Mapping[GeographyName, Future[Chunks]]

UNDECIDED = "Promotion cannot be decided; nothing was changed in Azure."


def configured_stack(values: Mapping[str, str], stack: str, project: Path) -> StackConfig:
    """The stack configuration that the engine handed over. Raises `pulumi.RunError` with every problem."""
    loaded = load_engine_config(values, f"Pulumi.{stack}.yaml", files_of(project).text)
    for warning in loaded.warnings:
        pulumi.log.warn(str(warning))
    if loaded.stack is None:
        problems = "\n".join(map(str, loaded.errors))
        raise pulumi.RunError(f"The stack configuration is refused; nothing was changed.\n{problems}")
    return loaded.stack


def geographies(stack: StackConfig, packed: Packed, project: Path) -> dict[str, GeographyArgs]:
    """What each configured geography is made from."""
    image = digest_of_image(stack.image, project)
    return {str(name): _geography(stack, name, image, project, packed[name].result()) for name in stack.geographies}


def pack_all(stack: StackConfig, approvals: Approvals) -> Packed:
    """Begin to pack the configuration documents: compressing needs no interpreter, and goes on beside the program."""
    executor = ThreadPoolExecutor(max_workers=1)
    return {name: executor.submit(_packed, stack, name, approvals) for name in stack.geographies}


def approvals_of(project: Path) -> Approvals:
    """The content of `approvals/`. Raises `pulumi.RunError` where it cannot be read."""
    try:
        return approvals_below(files_of(project))
    except (PromotedInvalid, OSError) as problem:
        raise pulumi.RunError(f"{UNDECIDED}\n{problem}") from None


def digest_of_image(image: str, project: Path) -> str | None:
    """`sha256:...`: as configured, or that of the working tree; None where there is no image yet."""
    if image == WORKING_TREE:
        return digest_of_working_tree(project)
    return image if image != NO_IMAGE else None


def digest_of_working_tree(project: Path) -> str:
    return f"sha256:{image_digest(_image_files(project))}"


def _packed(stack: StackConfig, name: GeographyName, approvals: Approvals) -> Chunks:
    return pack(ConfigurationDocument.of(stack, name, approvals))


def _geography(
    stack: StackConfig, name: GeographyName, image: str | None, project: Path, chunks: Chunks
) -> GeographyArgs:
    emulation = stack.microsoft365.emulation
    return GeographyArgs(
        geography=name,
        stage=stack.stage,
        cloud=stack.cloud,
        config=stack.geographies[name],
        microsoft365=stack.microsoft365,
        registrations=registrations(stack),
        consent_urls=consent_urls(stack, name),
        image=stack.geographies[name].image or image,
        chunks=chunks,
        revokers=stack.promotion.revokers,
        auditors=stack.promotion.auditors,
        repository_url=_repository_url(stack, project),
        called_ports=_called_ports(stack, name),
        ca_bundle=str(project / emulation.ca_bundle) if emulation else None,
    )


def _called_ports(stack: StackConfig, geography: GeographyName) -> tuple[int, ...]:
    """Of https, of every EHR's URL, served or proposed, and of the repository's; in ascending order."""
    organizations = (*stack.served_in(geography), *stack.proposed_in(geography))
    urls = {url for o in organizations for connection in o.connections for _, url in ehr_urls(connection)}
    if stack.promotion.repository is not None and stack.promotion.repository.url is not None:
        urls.add(stack.promotion.repository.url)
    return tuple(sorted({443, *(urlsplit(url).port or 443 for url in urls)}))


def _repository_url(stack: StackConfig, project: Path) -> str | None:
    repository = stack.promotion.repository
    if repository is None:
        return None
    return f"file://{project.absolute() / repository.folder}" if repository.folder else repository.url


def _image_files(project: Path) -> Iterator[tuple[str, bytes]]:
    for folder in FOLDERS:
        root = (project / folder).resolve()
        for path in root.rglob("*"):
            name = f"{folder}/{path.relative_to(root).as_posix()}"
            if belongs_to_image(name) and path.is_file():
                yield name, path.read_bytes()
    for file in FILES:
        yield file, (project / file).read_bytes()
