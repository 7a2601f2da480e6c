"""A BPTK server whose sessions are written to files: ``python application.py`` or ``./run_server.sh``."""

from pathlib import Path

from model import bptk_factory

from perdure.bptk import BptkServer, FileAdapter

adapter = FileAdapter(True, str(Path(__file__).parent / "state"))
application = BptkServer(__name__, bptk_factory, external_state_adapter=adapter)

if __name__ == "__main__":
    application.run()
