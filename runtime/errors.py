"""How things go wrong: refused (a rule said no, a value) and broken (something failed, an exception).

    Refusal            a value: code, status, and words for the person in front of the page
    ConnectorError     root of every exception of ours; `advice` is for the operator, never shown to visitors
      StartRefused     the process must not start with these settings or this configuration
      Unavailable      a remote system did not answer; retrying later may help
        DatabaseUnavailable
        VaultUnavailable
        StorageUnavailable
        IdentityUnavailable  managed identity or Entra gave no token
        RemoteUnavailable    timeout, connection lost, 429 or 5xx
      ProtocolError    a remote system answered what its protocol does not allow; retrying will not help

Messages say what was expected and what came; they never carry patient data, tokens or URLs with a query.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Refusal:
    """A rule said no. `title` and `advice` are read by a nurse or a patient; `reason` goes to the log only.

    `reason` is one of our own words joined by hyphens (no values of the request), so that the log's allow-list holds.
    """

    code: str
    status: int
    title: str
    advice: str
    reason: str = ""

    def because(self, reason: str) -> "Refusal":
        return replace(self, reason=reason)


class ConnectorError(Exception):
    """Root of our exceptions."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class StartRefused(ConnectorError):
    """The process must not start like this."""


class Unavailable(ConnectorError):
    """A remote system did not answer; the same call may succeed later. `retry_after` is in seconds, where given."""

    def __init__(self, message: str, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, advice)
        self.retry_after = retry_after


class DatabaseUnavailable(Unavailable):
    """PostgreSQL could not be reached, or the connection was lost."""


class VaultUnavailable(Unavailable):
    """Key Vault could not be read."""


class StorageUnavailable(Unavailable):
    """Blob storage could not be read or written."""


class IdentityUnavailable(Unavailable):
    """No token from the managed identity endpoint or from Entra."""


class RemoteUnavailable(Unavailable):
    """An EHR or Microsoft Graph timed out, dropped the connection, or answered 429 or 5xx."""


class ProtocolError(ConnectorError):
    """A remote system answered something that its protocol does not allow."""


UNAVAILABLE = Refusal(
    "temporarily-unavailable",
    503,
    "We cannot start your visit right now",
    "Something we depend on is not answering. Please wait a minute and start the visit again.",
)
NOT_FOUND = Refusal("not-found", 404, "There is nothing here", "Please start the visit again from your health record.")
METHOD_NOT_ALLOWED = Refusal(
    "method-not-allowed",
    405,
    "This address is not opened like that",
    "Go back to the page before, and use its buttons.",
)
UNEXPECTED = Refusal(
    "unexpected",
    500,
    "Something went wrong on our side",
    "Please start the visit again. If this page comes back, tell your support team the code below.",
)
