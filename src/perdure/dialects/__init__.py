"""Dialects: the HTTP APIs of the systems that Perdure stands in for, as thin routers over the drivers."""
