"""The certificate of our public host, as everybody is shown it: told before it ends, whatever kept it from renewal.

Others renew it, and gateway and environment pick it up by themselves (docs/certificates.md), so a renewal that fails is
silent. What counts is not what the vault holds but what is served: the worker connects from outside, as people do.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import certifi

from runtime.logs import log

if TYPE_CHECKING:
    from runtime.bootstrap import Services

TELL_BEFORE = timedelta(days=21)
"""Renewed at 80 % of a year, a certificate has more than twice as long left when its successor should be there."""

SECONDS = 10.0


async def tell_host_certificate(services: Services) -> None:
    """Say that it ends soon, or that nobody would trust it. A host that does not answer has alerts of its own."""
    host, _, port = services.settings.public_host.partition(":")
    context = ssl.create_default_context(cafile=services.settings.handover.ca_bundle or certifi.where())
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, int(port or 443), ssl=context)
    except ssl.SSLCertVerificationError as refused:
        log.error("host-certificate-refused", code=refused.verify_code)
        return
    except (OSError, TimeoutError) as problem:
        log.warning("host-not-reached", error=type(problem).__name__)
        return
    shown = cast("dict[str, Any]", writer.get_extra_info("peercert"))
    writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    left = ends - services.clock()
    if left < TELL_BEFORE:
        log.error("host-certificate-ends", seconds=round(left.total_seconds()))
