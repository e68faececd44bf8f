"""The git repository that holds the configuration: read from it, and propose changes to it, never more."""

from runtime.portal.repository.model import (
    BranchAbsent,
    Conflict,
    ProposedChange,
    Repository,
    RepositoryRefused,
    RepositoryUnavailable,
)
from runtime.portal.repository.opening import open_repository

__all__ = [
    "BranchAbsent",
    "Conflict",
    "ProposedChange",
    "Repository",
    "RepositoryRefused",
    "RepositoryUnavailable",
    "open_repository",
]
