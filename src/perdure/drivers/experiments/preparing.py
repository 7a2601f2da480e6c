"""The preparation of runs: a version is pinned, its files are copied, the configuration is read. Blocking."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from perdure.artifacts import Artifacts
from perdure.artifacts.names import check_path
from perdure.drivers.computed_by import hash_of
from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.engines import packages_of
from perdure.drivers.experiments.experiment_requests import ForkExperiment, NewExperiment
from perdure.drivers.experiments.file_names import SCRIPT
from perdure.drivers.experiments.saved_files import blobs_of, lost_files
from perdure.drivers.experiments.script_log import log_name
from perdure.drivers.experiments.script_position import FILES, restarted
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.working_folder import WorkingFolder
from perdure.drivers.seeds import chosen_seed
from perdure.engines.kinds import OWN_KINDS, engine_kinds
from perdure.errors import ArtifactNotFound, FileLost
from perdure.run import Run
from perdure.state.codec import decode
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.savepoints import newest_savepoint

__all__ = ["Prepared", "Preparing"]


class Prepared(msgspec.Struct, frozen=True):
    """A run that can be kept; a fork has a parent and a savepoint to begin at."""

    spec: ExperimentSpec
    parent: str | None = None
    savepoint: Savepoint | None = None


class Preparing:
    """Prepares runs. What it can't bring to an end is for the caller to remove, by `WorkingFolders.forget`.

    Parameters
    ----------
    store, artifacts, folders
        Where savepoints, experiments and working folders are.
    """

    def __init__(self, store: Store, artifacts: Artifacts, folders: WorkingFolders) -> None:
        self._store = store
        self._artifacts = artifacts
        self._folders = folders

    def new(self, run_id: str, owner: str, request: NewExperiment) -> Prepared:
        """Prepare a new run.

        Raises
        ------
        ExperimentNotFound, ArtifactNotFound, InvalidConfiguration
            If the files can't be run.
        """
        version = self._artifacts.experiments(owner).pin(request.experiment, run_id)
        folder = self._folders.make(run_id, owner, request.experiment, version)
        seed = chosen_seed(request.seed)
        sim_id = run_id if request.sim_id is None else request.sim_id
        return Prepared(self._spec(folder, request.configuration, request.script, seed, sim_id, True))

    def fork(self, run_id: str, parent: Run, request: ForkExperiment) -> Prepared:
        """Prepare a run that begins at a savepoint of another; with a changed script, at that one's top.

        Raises
        ------
        SavepointNotFound, NoSavepoint, CorruptBlob
            If the savepoint can't be had.
        ArtifactNotFound, InvalidConfiguration
            If the files can't be run.
        FileLost
            If a file that the parent had written by then isn't in the savepoint.
        """
        former = ExperimentSpec.from_blob(parent.spec)
        if request.savepoint is None:
            savepoint = newest_savepoint(self._store, parent.id)
        else:
            savepoint = self._store.savepoint(parent.id, request.savepoint)
        version = None if request.newest else former.version
        version = self._artifacts.experiments(parent.owner).pin(former.experiment, run_id, version)
        folder = self._folders.make(run_id, parent.owner, former.experiment, version, resumes=True)
        configuration = request.configuration or former.configuration
        script = request.script or former.script or SCRIPT
        spec = self._spec(folder, configuration, script, former.seed, former.sim_id, former.exact_times)
        modules = decode(savepoint.entities[FILES])["modules"]
        anew = self._code_of(parent.owner, spec, modules) != self._code_of(parent.owner, former, modules)
        if anew:
            savepoint = restarted(savepoint, log_name(spec.script, spec.sim_id))
        kept: Any = decode(savepoint.entities[FILES])
        lost = [path for path in lost_files(kept["files"]) if path not in kept["scripts"]]
        if lost and savepoint.timestamp > 0:  # what engines had written by then they write again
            raise FileLost(path=lost[0], reason="it isn't in the savepoint")
        return Prepared(spec, parent.id, replace(savepoint, blobs=blobs_of(kept)))

    def _code_of(self, owner: str, spec: ExperimentSpec, modules: Iterable[str]) -> dict[str, str | None]:
        """Return the hash of a run's script, and of the modules that it had loaded, by path.

        A run without a script has none; what isn't a file of the experiment has no hash.
        """
        if spec.script is None:
            return {}
        files = self._artifacts.experiments(owner).version(spec.experiment, spec.version).files
        return {path: files[path].sha256 if path in files else None for path in (spec.script, *modules)}

    def _spec(
        self,
        folder: WorkingFolder,
        configuration: str,
        script: str,
        seed: int,
        sim_id: int | str,
        exact_times: bool,
    ) -> ExperimentSpec:
        """Return the spec of a run in a folder; raise what is wrong with the files that are named."""
        for path in (configuration, script):
            if not (folder.files / check_path(path)).is_file() and path != SCRIPT:
                raise ArtifactNotFound(what=f"the experiment {folder.experiment!r}", path=path)
        spec = ExperimentSpec(
            experiment=folder.experiment,
            version=folder.version,
            configuration=configuration,
            script=script if (folder.files / script).is_file() else None,
            seed=seed,
            sim_id=sim_id,
            exact_times=exact_times,
        )
        read = load(folder.files, configuration, engine_kinds(), spec.times)
        stored = self._artifacts.experiments(folder.owner).version(folder.experiment, folder.version).files
        hashes = {path: file.sha256 for path, file in stored.items()}
        named = {configuration, spec.script, *read.files}
        return replace(
            spec,
            sha256=hash_of({path: bytes.fromhex(found) for path, found in hashes.items()}),
            sources={path: it for path, it in hashes.items() if path in named or path.endswith(".py")},
            engines=tuple(sorted({engine.type for engine in read.engines} - OWN_KINDS)),
            packages=tuple(sorted({name for engine in read.engines for name in packages_of(engine)})),
        )
