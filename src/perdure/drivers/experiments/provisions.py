"""Provisions: what each attempt at an experiment is given, a fresh working folder and its environment."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from perdure.drivers.experiments.body import BEGINNING, FOLDER, FORMER, KEPT
from perdure.drivers.experiments.files import caught_up, remove_folder
from perdure.drivers.experiments.requirements import computed_by, lacks
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolder, WorkingFolders
from perdure.engines.generators import hash_seed
from perdure.errors import NotComputable
from perdure.execution.body import Provision
from perdure.run import Execution, Run

__all__ = ["Provisions"]


class Provisions:
    """Prepares attempts; blocking.

    Parameters
    ----------
    folders
        Where working folders are made.
    """

    def __init__(self, folders: WorkingFolders) -> None:
        self._folders = folders

    def provide(self, run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        """Prepare the next attempt at a run; the first one takes the folder that the run was made with.

        Raises
        ------
        CalledOff
            If nobody wants it any more, as `called_off` answers; the former attempt's folder is as it was.
        ExperimentNotFound, ArtifactsUnavailable, Damaged
            If the experiment's files can't be had.
        NotComputable
            If this process lacks what has computed the run so far.
        """
        if missing := lacks(execution.needs):  # a package may have been upgraded since
            raise NotComputable(run=run.id, missing=missing)
        spec = ExperimentSpec.from_blob(run.spec)
        folder = self._folders.find(run.id) if execution.attempt == 1 else None
        if folder is None:
            folder = self._folders.make(run.id, run.owner, spec.experiment, spec.version, called_off)
        given = {FOLDER: str(folder.files)}
        if folder.former is not None:
            given[FORMER] = str(folder.former)
        if folder.beginning is not None:
            given[BEGINNING] = str(folder.beginning)
        provision = Provision(
            environment={"PYTHONHASHSEED": hash_seed(spec.seed)},
            given=given,
            folders=(folder.files,),
            computed_by=computed_by(spec).to_text(),
        )
        if not self._folders.give(folder):
            return provision
        # It can't change what is beside its folder, so that is done here.
        return replace(
            provision,
            given={**given, KEPT: "yes"},
            arrived=partial(_arrived, folder),
            settled=partial(_settled, folder),
        )


def _arrived(folder: WorkingFolder) -> None:
    if folder.former is not None:
        caught_up(folder.former).touch()


def _settled(folder: WorkingFolder) -> None:
    if folder.former is not None:
        remove_folder(folder.former)
