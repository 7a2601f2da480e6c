"""Provisions: what each attempt at an experiment is given, a fresh working folder and its environment."""

from collections.abc import Callable
from functools import partial

from perdure.drivers.computed_by import ComputedBy
from perdure.drivers.experiments.body import FOLDER, FOUND, SAVED
from perdure.drivers.experiments.requirements import computed_by, lacks
from perdure.drivers.experiments.saved_files import MAX_SAVEPOINT_BYTES, files_at
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.engines.generators import hash_seed
from perdure.errors import NotComputable
from perdure.execution.body import Provision
from perdure.numerics import HERE, Numerics
from perdure.run import Execution, Run
from perdure.stores.base import Store

__all__ = ["Provisions"]


class Provisions:
    """Prepares attempts; blocking.

    Parameters
    ----------
    store
        Where the savepoints are that attempts go on from.
    folders
        Where working folders are made.
    limit
        The bytes that the files of a savepoint may have together.
    numerics
        The arithmetic of this process.
    taken
        Called with the execution of each attempt, before its folder is used.
    """

    def __init__(
        self,
        store: Store,
        folders: WorkingFolders,
        limit: int = MAX_SAVEPOINT_BYTES,
        numerics: Numerics = HERE,
        taken: Callable[[Execution], None] = lambda execution: None,
    ) -> None:
        self._store = store
        self._folders = folders
        self._limit = limit
        self._numerics = numerics
        self._taken = taken

    def provide(self, run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        """Prepare the next attempt at a run; the first one takes the folder that the run was made with.

        Raises
        ------
        CalledOff
            If nobody wants it any more, as `called_off` answers.
        ExperimentNotFound, ArtifactsUnavailable, FileLost, Damaged
            If the experiment's files, or those that the run had written, can't be had.
        NotComputable
            If this process lacks what has computed the run so far.
        """
        if missing := lacks(execution.needs, self._numerics):  # a package may have been upgraded since
            raise NotComputable(run=run.id, missing=missing)
        spec = ExperimentSpec.from_blob(run.spec)
        kept = files_at(self._store, run.id)
        folder = self._folders.find(run.id) if execution.attempt == 1 else None
        if folder is None:
            folder = self._folders.make(
                run.id, run.owner, spec.experiment, spec.version, called_off, resumes=kept is not None
            )
        self._folders.assign(folder, execution.fence)
        self._taken(execution)
        if kept is None:
            self._folders.settle(folder)
        else:
            self._folders.lay_out(folder, kept, called_off)
        self._folders.give(folder)
        return Provision(
            environment={"PYTHONHASHSEED": hash_seed(spec.seed)},
            given={FOLDER: str(folder.files), SAVED: str(folder.saved), FOUND: str(folder.found)},
            folders=(folder.files,),
            computed_by=computed_by(spec)
            .at(self._numerics.fingerprint, ComputedBy.from_text(execution.needs))
            .to_text(),
            arrived=partial(self._folders.settle, folder),
            save=self._folders.saving(self._store, folder, kept, self._limit).save,
        )
