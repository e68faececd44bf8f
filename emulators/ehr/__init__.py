"""One organisation's EHR, emulated after Epic: Hyperspace and MyChart, a SMART server, the telehealth service.

Each instance (test, production) has its own FHIR base URL, OAuth clients and appointments. What the EHR believes about
the connector is in `world.yaml`, never in the connector's configuration. It is strict where Epic is, says as little as
Epic does when it refuses (the reasons are in its own log), and offers nothing that Epic does not.
"""
