"""Every way in which the portal says no, in words for an administrator or an approver."""

from runtime.errors import Refusal

_BACK = "Go back to the connection's page and begin again."
_AGAIN = "Go back to the first page of this portal and sign in again."
_TEAM = "Tell your platform team the code below."

NOT_FOUND = Refusal(
    "portal-not-found",
    404,
    "There is nothing here for you",
    "The address is wrong, or your account has no role in this organisation. Your organisations are on the first page.",
)
UNAVAILABLE = Refusal(
    "portal-unavailable", 503, "The portal cannot answer right now", "Please wait a minute and try again."
)
UNEXPECTED = Refusal("portal-unexpected", 500, "Something went wrong on our side", f"Please try again. {_TEAM}")

# --- signing in ---
SIGNED_OUT = Refusal("portal-signed-out", 403, "You are signed out", _AGAIN)
STATE_UNKNOWN = Refusal("portal-state-unknown", 400, "This took too long, or was opened twice", _AGAIN)
OTHER_BROWSER = Refusal("portal-other-browser", 403, "This was begun in another browser", _AGAIN)
NOT_SIGNED_IN = Refusal("portal-not-signed-in", 403, "You are not signed in to Microsoft", _AGAIN)
TOKEN_REFUSED = Refusal("portal-token-refused", 403, "We could not confirm your Microsoft account", _AGAIN)
ENTRA_UNAVAILABLE = Refusal(
    "portal-entra-unavailable", 503, "Microsoft sign-in is not answering", "Please wait a minute and try again."
)
OTHER_TENANT = Refusal(
    "portal-other-tenant",
    403,
    "No organisation of your Microsoft 365 tenant is set up here",
    "Sign in with your work account at the organisation that you administer or approve for.",
)
GUEST = Refusal(
    "portal-guest",
    403,
    "This account is a guest",
    "Sign in with an account that is a member of the organisation's own Microsoft 365 tenant.",
)

# --- our own forms ---
FORM_ELSEWHERE = Refusal("portal-form-elsewhere", 403, "This form was not sent from a page of this portal", _BACK)
FORM_INVALID = Refusal("portal-form-invalid", 403, "This form does not belong to your session", _BACK)
FORM_REPLAYED = Refusal("portal-form-replayed", 409, "This form was sent before", "Look at the page again.")

# --- the proof ---
NOT_APPROVER = Refusal(
    "portal-not-approver",
    403,
    "Only the approver named for this connection can do this",
    "The connection's page says who that is. An administrator can name another approver by an edit.",
)
APPROVER_DIFFERS = Refusal(
    "portal-approver-differs",
    403,
    "You signed in with another account than the approver's",
    "Begin again and sign in with the account that the configuration names as approver.",
)
NOT_FRESH = Refusal(
    "portal-not-fresh",
    403,
    "Microsoft did not ask you to sign in anew",
    f"A decision needs a sign-in of this moment. {_BACK}",
)
SIGN_IN_EXPIRED = Refusal(
    "portal-proof-sign-in-expired", 403, "Your Microsoft sign-in for this decision is more than ten minutes old", _BACK
)
ISSUER_MISMATCH = Refusal("portal-ehr-issuer-mismatch", 403, "The answer came from another EHR", _BACK)
STATE_MISMATCH = Refusal("portal-ehr-state-mismatch", 403, "This EHR sign-in was begun for another connection", _BACK)
EHR_REFUSED = Refusal(
    "portal-ehr-refused",
    403,
    "The EHR did not sign you in",
    f"You may lack a permission there, or the approval client is not yet active in this environment. {_BACK}",
)
CODE_MISSING = Refusal("portal-ehr-code-missing", 400, "The EHR's answer was not complete", _BACK)
CLIENT_REFUSED = Refusal(
    "portal-ehr-client-refused",
    502,
    "The EHR does not accept the approval client",
    "Check that the client id is registered in this environment with this portal's redirect address, and synchronised.",
)
ID_TOKEN_REFUSED = Refusal(
    "portal-ehr-token-refused", 403, "The EHR's answer does not prove this FHIR base URL", f"{_BACK} {_TEAM}"
)
EHR_ANSWER = Refusal(
    "portal-ehr-answer",
    502,
    "There is no usable SMART configuration at this FHIR base URL",
    "Check the URL and its suffix, and which endpoints it names. An administrator can correct it by an edit.",
)
EHR_UNAVAILABLE = Refusal(
    "portal-ehr-unavailable", 503, "The EHR is not answering", "Please wait a minute and try again."
)
EHR_TOO_OLD = Refusal(
    "portal-ehr-too-old",
    422,
    "This Epic is older than November 2018",
    "Virtual visits need Epic from November 2018 or later. After the EHR is upgraded, begin again.",
)

# --- the decision ---
NOT_PROVED = Refusal(
    "portal-not-proved",
    403,
    "You have not proved this FHIR base URL within the last ten minutes",
    "One sign-in to the EHR proves one URL, for ten minutes and one decision. Begin again on the connection's page.",
)
NOT_SHOWN = Refusal(
    "portal-not-shown",
    409,
    "This is not the configuration that you were shown",
    "Look at the page again: a decision is only about what it shows.",
)
CONFIGURATION_CHANGED = Refusal(
    "portal-configuration-changed",
    409,
    "The configuration changed while you were looking at it",
    "Nothing was decided. Prove the URL again, look at what changed, and decide then.",
)
DECISION_INVALID = Refusal("portal-decision-invalid", 400, "Approve or refuse, and confirm", _BACK)
TEST_CONNECTION_DIFFERS = Refusal(
    "portal-test-connection-differs",
    409,
    "The test connection differs from this one in more than the environment",
    "An administrator makes both alike but for URL, client ids, credentials, records and origins.",
)
TEST_CONNECTION_MISSING = Refusal(
    "portal-test-connection-missing",
    409,
    "No test connection stands for this production connection",
    "An administrator adds a test connection of this organisation first.",
)
ONE_PERSON = Refusal(
    "portal-one-person",
    403,
    "An administrator may not approve here",
    "Name another approver, or let the platform team allow one person for both in a pull request of its own.",
)
SIGNING_KEY_MISSING = Refusal(
    "portal-signing-key-missing", 503, "This portal has no key to sign with", f"Nothing was decided. {_TEAM}"
)
SIGNING_FAILED = Refusal(
    "portal-signing-failed", 503, "Your decision could not be signed", "Nothing was decided. Please try again later."
)

# --- records ---
NOT_APPROVED = Refusal(
    "portal-records-not-approved",
    409,
    "There are no integration records yet",
    "They are shown once the connection is approved as it is configured now.",
)

# --- edits ---
EDIT_NOT_THERE = Refusal(
    "portal-edit-not-there",
    404,
    "The repository does not have this organisation or connection",
    "It may have been removed, or not yet be merged. Look at the list of connections again.",
)
EDIT_NO_STACK = Refusal(
    "portal-edit-no-stack", 503, "The repository has no configuration for this portal", f"Nothing was changed. {_TEAM}"
)
EDIT_UNREADABLE = Refusal(
    "portal-edit-unreadable",
    409,
    "The configuration in the repository cannot be edited here",
    "It has a form that not every reader understands alike. The platform team corrects it in the repository.",
)
EDIT_IMPOSSIBLE = Refusal(
    "portal-edit-impossible",
    409,
    "This change cannot be made in the file as it is laid out",
    "Nothing was changed. The platform team can make it in the repository by hand.",
)
EDIT_NOT_SHOWN = Refusal(
    "portal-edit-not-shown",
    409,
    "This is not the change that you were shown",
    "Nothing was proposed. Look at the change again: what is proposed is only what you saw.",
)
NOT_ADMINISTRATOR = Refusal(
    "portal-not-administrator",
    403,
    "Only an administrator adds an organisation",
    "The configuration names the administrators of each organisation. Ask one of yours.",
)
EDIT_LAST = Refusal(
    "portal-edit-last",
    409,
    "An organisation has at least one connection",
    "Add the new one first, then remove this one.",
)
REPOSITORY_UNAVAILABLE = Refusal(
    "portal-repository-unavailable",
    503,
    "The repository of the configuration is not answering",
    "Nothing was changed. Please wait a minute and try again.",
)
REPOSITORY_REFUSED = Refusal(
    "portal-repository-refused",
    502,
    "The repository of the configuration refused the request",
    f"Nothing was changed. {_TEAM}",
)
