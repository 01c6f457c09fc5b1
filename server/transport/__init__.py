"""The only code that opens connections to other systems: SSRF, time-outs, sizes, redaction."""
