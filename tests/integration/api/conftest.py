"""A session of the server that the tests of a module share."""

import httpx
import pytest


@pytest.fixture
def run(client: httpx.Client) -> str:
    """A fresh session of the bath tub's two scenarios."""
    body = {"kind": "session", "scenarios": {"bath": ["base", "full"]}, "outputs": ["water"], "seed": 7}
    run_id: str = client.post("/runs", json=body).raise_for_status().json()["id"]
    return run_id
