"""Speaking to an EHR's SMART server: discovery, client authentication, tokens. Beyond SMART: `writeback/`."""
