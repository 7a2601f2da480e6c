"""Conformance suites and fakes for stores and engines, public so that third parties can run them."""
