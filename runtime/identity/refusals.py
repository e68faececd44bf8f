"""Every way in which a Microsoft sign-in or a link is refused, in words for the provider."""

from runtime.errors import Refusal

_AGAIN = "Please close this window, go back to your health record and press the sign-in button there."
_HELP = "Please ask your support team to look at the link between your two accounts."

SIGN_IN_EXPIRED = Refusal(
    "sign-in-expired", 400, "This sign-in took too long", "Please start the visit again from your health record."
)
TICKET_ELSEWHERE = Refusal("sign-in-other-browser", 403, "This sign-in belongs to another window", _AGAIN)
TICKET_USED = Refusal("sign-in-ticket-used", 403, "This sign-in was opened already, or took too long", _AGAIN)
STATE_MISMATCH = Refusal("sign-in-state-mismatch", 403, "This sign-in was started somewhere else", _AGAIN)
NOT_SIGNED_IN = Refusal("sign-in-not-finished", 403, "You are not signed in to Microsoft", _AGAIN)
TOKEN_REFUSED = Refusal("sign-in-token-refused", 403, "We could not confirm your Microsoft account", _AGAIN)
OTHER_TENANT = Refusal(
    "sign-in-other-organization",
    403,
    "This account belongs to another organization",
    "Please go back to your health record and sign in with your work account at this hospital.",
)
GUEST = Refusal(
    "sign-in-guest",
    403,
    "This account is a guest here",
    "Please go back to your health record and sign in with your own work account at this hospital.",
)
ENTRA_UNAVAILABLE = Refusal(
    "sign-in-unavailable", 503, "Microsoft sign-in is not answering", "Please wait a minute and try again."
)
ACCOUNT_TAKEN = Refusal(
    "link-account-taken",
    409,
    "This Microsoft account is linked to another health record user",
    "Sign in with your own work account. If this one is yours, ask your support team to look at its link.",
)
USER_TAKEN = Refusal("link-user-taken", 409, "Your health record user is linked to another Microsoft account", _HELP)
CONFIRMATION_WRONG = Refusal("link-confirmation-wrong", 403, "This page was not opened by you", _AGAIN)
CONSENT_NOT_GIVEN = Refusal(
    "consent-not-given",
    403,
    "Your organization has not accepted the connector",
    "Open the link of your setup document again, sign in as a Global Administrator, and press Accept.",
)
