"""Deployment: one description of the programs, and its rendering for supervisord, systemd and containers."""
