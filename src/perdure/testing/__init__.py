"""Conformance suites and fakes for stores, engines, executors and tasks of other packages."""
