"""What several files watch."""

import pytest

from schemas.promotion import envelope
from schemas.promotion.envelope import StatementFile
from schemas.promotion.trust import Trust


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the statements that were verified, in their order."""
    found: list[str] = []
    verify = envelope.verify

    def noted(file: StatementFile, trust: Trust) -> envelope.Verified | envelope.Rejected:
        found.append(file.path)
        return verify(file, trust)

    monkeypatch.setattr(envelope, "verify", noted)
    return found
