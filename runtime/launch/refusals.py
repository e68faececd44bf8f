"""Every way in which a launch is refused, in words for the person in front of it.

The code goes to the support team; what was received is neither shown nor logged.
"""

from runtime.errors import Refusal

_AGAIN = "Please go back to your health record and start the visit again."
_SETUP = "Please tell your support team: the health record's settings for video visits need a correction."

CONNECTION_UNKNOWN = Refusal("launch-connection-unknown", 404, "This link does not belong to any organization", _SETUP)
ISS_MISSING = Refusal("launch-iss-missing", 400, "This visit was not started from a health record", _AGAIN)
ISS_UNKNOWN = Refusal("launch-iss-unknown", 403, "We do not know the health record that started this visit", _SETUP)
LAUNCH_MISSING = Refusal("launch-missing", 400, "This visit was not started from a health record", _AGAIN)
LAUNCH_REUSED = Refusal("launch-reused", 409, "This visit link was used already", _AGAIN)
STATE_UNKNOWN = Refusal("launch-state-unknown", 400, "This took too long, or was opened twice", _AGAIN)
OTHER_BROWSER = Refusal("launch-other-browser", 403, "This visit was started in another window or browser", _AGAIN)
STATE_MISMATCH = Refusal("launch-state-mismatch", 403, "This visit was started somewhere else", _AGAIN)
ISSUER_MISMATCH = Refusal("launch-issuer-mismatch", 403, "The health record's answer did not match", _AGAIN)
EHR_REFUSED = Refusal("launch-ehr-refused", 403, "Your health record did not allow this visit to start", _AGAIN)
CODE_MISSING = Refusal("launch-code-missing", 400, "Your health record's answer was not complete", _AGAIN)
CODE_REFUSED = Refusal("launch-code-refused", 403, "Your health record did not confirm this visit", _AGAIN)
CLIENT_REFUSED = Refusal("launch-client-refused", 502, "Your health record does not accept our sign-in", _SETUP)
EHR_ANSWER = Refusal("launch-ehr-answer", 502, "Your health record gave an answer we cannot use", _SETUP)
EHR_UNAVAILABLE = Refusal(
    "launch-ehr-unavailable",
    503,
    "Your health record is not answering",
    "Please wait a minute and start the visit again.",
)
ID_TOKEN_REFUSED = Refusal("launch-id-token-refused", 403, "We could not confirm who you are", _AGAIN)
PATIENT_AS_PROVIDER = Refusal(
    "launch-patient-as-provider",
    403,
    "This link is for care teams",
    "If you are a patient, please start your visit from your patient portal.",
)
PROVIDER_AS_PATIENT = Refusal(
    "launch-provider-as-patient",
    403,
    "This link is for patients",
    "If you are on the care team, please start the visit from your own health record screen.",
)
SESSION_ID_MISSING = Refusal(
    "launch-session-id-missing", 422, "Your health record did not say which visit this is", _SETUP
)
SESSION_ID_UNEXPANDED = Refusal(
    "launch-session-id-unexpanded",
    422,
    "Your health record did not say which visit this is",
    "Please start it from an appointment. If you did, tell your support team the code below.",
)
SESSION_ID_INVALID = Refusal(
    "launch-session-id-invalid", 422, "Your health record did not say which visit this is", _SETUP
)
PATIENT_MISSING = Refusal("launch-patient-missing", 422, "Your health record did not say who the visit is for", _SETUP)
