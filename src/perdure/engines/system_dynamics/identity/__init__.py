"""Identity: the fingerprint of a model, and what its user functions read and change."""
