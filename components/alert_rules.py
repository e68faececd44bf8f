"""What people are woken for: the alerts of a geography as data, each with its meaning and what to do.

Owns names, severities, thresholds and what is looked for: events of the runtime's log (`runtime/logs.py`: a JSON object
a line, kept in `ContainerAppConsoleLogs`), and metrics of Azure. `alerts.py` makes rules of it, `docs/alerts.md` is
written from it (`python -m workflow.alerts_page`), and a test runs the runtime until it has logged each event.

Severities are Azure's: 0 critical, 1 error, 2 warning, 3 informational. Durations are ISO 8601.
"""

from dataclasses import dataclass

LOGS = "ContainerAppConsoleLogs"


@dataclass(frozen=True)
class LogAlert:
    """Fires while `measure` over the events of a window is above a number.

    `measure` is an aggregation of the Kusto Query Language over `entry`, the line's object; `by` is a column of the
    table: each of its values is measured by itself.
    """

    name: str
    severity: int
    events: tuple[str, ...]
    above: int
    means: str
    to_do: str
    measure: str = "count()"
    by: str | None = None
    window: str = "PT15M"
    every: str = "PT5M"

    @property
    def query(self) -> str:
        named = ", ".join(f'"{event}"' for event in self.events)
        lines = [
            LOGS,
            "extend entry = parse_json(Log)",
            f"where tostring(entry.event) in ({named})",
            f"summarize value = {self.measure}{f' by {self.by}' if self.by else ''}",
        ]
        return "\n| ".join(lines)


@dataclass(frozen=True)
class MetricAlert:
    """Fires while an aggregated metric of one resource is beyond a number; `of` is a key of `AlertsArgs.watched`."""

    name: str
    severity: int
    of: str
    namespace: str
    metric: str
    aggregation: str
    operator: str
    threshold: int
    means: str
    to_do: str
    window: str = "PT15M"
    every: str = "PT5M"


DATABASE, APPLICATION = "database", "application"

LOG_ALERTS = (
    LogAlert(
        name="write-backs-late",
        severity=2,
        events=("write-back-waits",),
        measure="max(tolong(entry.seconds))",
        above=900,
        means="A connect or disconnect has waited for more than 15 minutes: the EHR shows an old state of a visit.",
        to_do="Look at `code` of `write-back-waits`: `ehr-unavailable` and `status-5xx` heal with the EHR, so tell the "
        "hospital; `status-401`, `-403`, `-404` and `backend-token-*` are the backend client's registration or "
        "key at the EHR. Nothing is lost: each is tried for 24 hours, in order.",
    ),
    LogAlert(
        name="write-backs-dead",
        severity=2,
        events=("write-back-dead",),
        above=0,
        means="A connect or disconnect was given up on: the EHR refused it for good, or for 24 hours.",
        to_do="`connection` and `code` of `write-back-dead` say whose and why. Ask the hospital to set the visit's "
        "status by hand, and correct what `code` names before the next visit; it is not tried again.",
    ),
    LogAlert(
        name="launches-refused",
        severity=2,
        events=("launch refused",),
        above=25,
        means="More than 25 launches were refused within 15 minutes: people cannot begin their visits.",
        to_do="Count `launch refused` by `connection` and `code`. One connection with `connection-not-approved`: "
        "`connector explain CONNECTION`. One connection with another code: its client or context keys at the EHR "
        "were changed. `connection-unknown` alone: somebody tries URLs, and nobody is kept from a visit.",
    ),
    LogAlert(
        name="approvals-end",
        severity=3,
        events=("approvals-end",),
        measure="max(tolong(entry.count))",
        above=0,
        window="PT1H",
        every="PT1H",
        means="An approval ends within 30 days, or has ended: a changed connection could not be served after that.",
        to_do="`connector explain CONNECTION` for those with `approval-expires-soon` or `approval-expired` in the event"
        " `standing`; ask their approvers to approve again in the portal. What is served unchanged stays served.",
    ),
    LogAlert(
        name="certificate-ends",
        severity=1,
        events=("certificate-ends",),
        above=0,
        window="PT3H",
        every="PT1H",
        means="The notification certificate ends within 60 days: after that Graph refuses subscriptions to call events,"
        " and no connect is seen.",
        to_do="Write a version of the vault's secret `notification-certificate` with one more key, and restart the "
        "applications and workers; then one with `current` moved to it, and restart them again; keep the old key until "
        'no subscription names it (README, "Rotating a ring").',
    ),
    LogAlert(
        name="host-certificate-ends",
        severity=1,
        events=("host-certificate-ends", "host-certificate-refused"),
        above=0,
        window="PT3H",
        every="PT1H",
        means="The certificate that the public host shows ends within 21 days, has ended, or is of no authority that"
        " browsers trust: nobody will be able to begin a visit.",
        to_do="The vault has no newer version, or the gateway cannot read it: see the certificate in the vault, and"
        ' "Renewal" in docs/certificates.md. `code` of `host-certificate-refused` is OpenSSL\'s: 10 has ended, 18 to'
        " 21 an unknown authority, 62 another host.",
    ),
    LogAlert(
        name="subscriptions-fail",
        severity=1,
        events=("subscription-not-renewed",),
        above=3,
        window="PT30M",
        means="Subscriptions to call events are not renewed: pages and write-backs of visits under way will stand "
        "still.",
        to_do="`code` of `subscription-not-renewed`: 401 and 403 mean that a hospital's consent or access policy is "
        'gone (README, "Going to real Azure"); 429 and 5xx are Graph\'s: look at Microsoft 365 service health. It '
        "is tried again each minute.",
    ),
    LogAlert(
        name="revocations-stale",
        severity=1,
        events=("revocations-stale", "revocations-never-held", "revocations-refused"),
        above=0,
        means="The list of revocations is too old, absent or not a valid one: new connections are not served, and a "
        "revocation published now might not be heard.",
        to_do="Run `connector revoke --renew --stack STACK` from inside the network, as a member of the revokers. "
        "`revocations-refused`: somebody wrote something else than a newer list; find out who in "
        "`StorageBlobLogs`.",
    ),
    LogAlert(
        name="audit-contradicted",
        severity=0,
        events=("audit-chain-rewritten", "audit-head-contradicted", "audit-head-missing", "audit-head-without-key"),
        above=0,
        means="The audit chain does not agree with its anchored heads, or heads cannot be signed: rows may have been "
        "changed by somebody who owns the database.",
        to_do="Change nothing. Call the security officer, export the chain (`connector audit export`) and have it "
        "verified with the heads (`connector audit verify`, docs/audit.md). `audit-head-without-key`: pin the "
        "worker's signing key (`connector trust`).",
    ),
    LogAlert(
        name="processes-restart",
        severity=1,
        events=("started", "start refused", "start failed", "failed"),
        by="ContainerGroupName",
        above=2,
        window="PT30M",
        means="One replica started more than twice within half an hour: it ends again and again, or refuses to start.",
        to_do="`reason` and `advice` of `start refused` or `start failed` say what is missing; a revision before still "
        "serves. `failed` alone: `where` is the place in the code; go back to the image before (`image` in the "
        "stack).",
    ),
)

METRIC_ALERTS = (
    MetricAlert(
        name="database-fills",
        severity=1,
        of=DATABASE,
        namespace="Microsoft.DBforPostgreSQL/flexibleServers",
        metric="storage_percent",
        aggregation="Average",
        operator="GreaterThan",
        threshold=80,
        means="The database has used more than 80 % of its storage; at 95 % Azure lets nobody write.",
        to_do="Storage grows by itself: see in the portal whether it could. If not, raise it there; the program leaves "
        "it as it is. Look for `purge` in the event `schedule-failed`: rows may not be purged any "
        "more.",
    ),
    MetricAlert(
        name="application-gone",
        severity=0,
        of=APPLICATION,
        namespace="Microsoft.App/containerApps",
        metric="Replicas",
        aggregation="Maximum",
        operator="LessThan",
        threshold=1,
        window="PT5M",
        every="PT1M",
        means="No replica of the application runs: nobody in this geography can begin or join a visit.",
        to_do="`ContainerAppSystemLogs` says why none is scheduled (image, identity, capacity). Go back to the image "
        "before if it came with a release; a geography without capacity waits for Azure: see service health.",
    ),
)
