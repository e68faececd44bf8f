"""What rules between values find of a geography's edge: regions with zones, subnets, operators' networks, certificates.

Rows of `tests/unit/test_rules_between_values.py`.
"""

LOCAL, PROD = "Pulumi.local.yaml", "Pulumi.prod.yaml"

EDGE_ROWS: list[tuple[str, str, list[tuple[str, str]], str]] = [
    # code, file, texts to replace, path of the value that is reported
    (
        "subnet-too-small",
        LOCAL,
        [("gatewaySubnet: 10.21.4.0/24", "gatewaySubnet: 10.21.4.0/27")],
        "geographies.americas.network.gatewaySubnet",
    ),
    (
        "operator-range-inside",
        LOCAL,
        [
            (
                "gatewaySubnet: 10.21.4.0/24\n",
                "gatewaySubnet: 10.21.4.0/24\n        operatorRanges: [10.90.0.0/24, 10.0.0.0/8]\n",
            )
        ],
        "geographies.americas.network.operatorRanges[1]",
    ),
    (
        "region-without-zones",
        PROD,
        [("location: eastus2", "location: westus"), ("- centralus", "- westus")],
        "geographies.americas.location",
    ),
    (
        "certificate-name-taken",
        LOCAL,
        [("        publicHost: public-host\n", "        publicHost: Visit-Key\n")],
        "geographies.americas.certificates.publicHost",
    ),
    (
        "certificate-name-taken",
        LOCAL,
        [("        portalHost: portal-host\n", "        portalHost: lakeside-tst-provider-key\n")],
        "geographies.americas.certificates.portalHost",
    ),
    (
        "certificate-missing",
        LOCAL,
        [("        portalHost: portal-host\n", "")],
        "geographies.americas.certificates.portalHost",
    ),
]
