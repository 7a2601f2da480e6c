"""An S3 server: a real process on a free port that keeps objects in its memory.

As a command, ``python -m tests.support.s3_server`` serves until it is ended.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from tests.support.served import ROOT

BUCKET = "experiments"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # of two that differ, the small one counts


@dataclass(frozen=True)
class S3Server:
    """A server with one bucket."""

    address: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What whoever uses it needs in the environment."""
        return {**KEYS, "FSSPEC_S3_ENDPOINT_URL": self.address, **NO_PROXY}

    def stored(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        place = f"{self.address}/{BUCKET}"
        listed = httpx.get(place, params={"list-type": 2}, trust_env=False).raise_for_status().text
        assert "<IsTruncated>true" not in listed
        return re.findall("<Key>(.*?)</Key>", listed)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with an empty bucket."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server"],
        cwd=ROOT,
        env={**os.environ, **KEYS},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), "what kept it from serving stands above"
        httpx.put(f"{address}/{BUCKET}", trust_env=False, timeout=240).raise_for_status()
        yield S3Server(address)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve, and tell where."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which tells every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
