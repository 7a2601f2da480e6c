"""A small server of tasks, to be killed: ``python -m tests.support.task_server FOLDER IDENTITY BODY SLOTS``.

It opens the store in the folder and an executor, and takes up what is unfinished. Each line that it prints is
JSON: first ``{"up": true}``, then for each change of a run its id, newest savepoint and attempt. It ends, in
good order, when all runs are final.
"""

import asyncio
import json
import sys
from pathlib import Path

from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import FINAL
from perdure.stores.commands import Committed
from perdure.stores.sqlite import SqliteStore


async def serve(folder: Path, identity: str, body: str, slots: int) -> None:
    """Serve until all is done."""
    store = SqliteStore(folder)
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell(change: Committed) -> None:
        kept = store.savepoints(change.run_id)
        attempt = store.execution(change.run_id).attempt
        print(json.dumps([change.run_id, kept[-1].timestamp if kept else 0, attempt]), flush=True)
        if change.state in FINAL:
            loop.call_soon_threadsafe(changed.set)

    bodies = {"task": Body(path=body, slots=slots)}
    try:
        executor = LocalExecutor(store, bodies, identity=identity)
        try:
            await executor.open()
            print(json.dumps({"up": True}), flush=True)
            store.watch(tell)
            executor.start()
            while await asyncio.to_thread(store.executions):
                await changed.wait()
                changed.clear()
        finally:
            await executor.aclose()
    finally:
        store.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
