"""Our conformance suites, judged themselves."""
