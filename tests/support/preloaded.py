"""What a process of the tests has imported when it is forked: all that servers and commands do, also late."""

import gc
import importlib
from itertools import chain

import anyio

from perdure.api.dialects import installed_dialects
from perdure.cli.commands import COMMANDS

MODULES = (
    "apsw",
    "encodings.idna",
    "fsspec.implementations.chained",
    "fsspec.implementations.local",
    "perdure.api.server",
    "perdure.stores.builtin",
    "perdure.stores.postgres.store",
    "perdure.stores.sqlite",
    "tests.support.bptk_process",
    "tests.support.commands",
    "tests.support.programs",
    "tests.support.served",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvloop",
)

for name in chain(MODULES, (f"perdure.cli.{module}" for module, _ in COMMANDS.values())):
    importlib.import_module(name)
installed_dialects()
anyio.run(anyio.sleep, 0)  # imports what an event loop needs

# Forked processes then look through their own objects alone, and share the memory of these.
gc.collect()
gc.freeze()
