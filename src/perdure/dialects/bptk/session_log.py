"""The session log: all steps of a session at one moment, read in pages and as often as needed."""

from collections.abc import Iterator, Sequence

from perdure.drivers.session_spec import SessionSpec
from perdure.errors import RunNotFound
from perdure.run import Run, Step
from perdure.stores.base import Store

__all__ = ["SessionLog"]

PAGE = 1_000  # limit of steps in a page
PAGE_VALUES = 100_000  # limit of values in a page, unless one step has more


class SessionLog:
    """The step log of a run at one moment.

    Parameters
    ----------
    store
        The store.
    run
        The run.
    lasting
        Whether the run stays in the store when its session has ended. If not, the steps are kept in memory.

    Attributes
    ----------
    spec
        The session's spec, to decode the steps.
    position
        Number of steps.
    """

    def __init__(self, store: Store, run: Run, *, lasting: bool) -> None:
        self.spec = SessionSpec.from_blob(run.spec)
        self.position = run.position
        self._run_id = run.id
        self._store = store
        self._held: Sequence[Step] | None = None if lasting else store.steps(run.id, 0, run.position)

    def pages(self) -> Iterator[Sequence[Step]]:
        """Yield all steps from the first on; blocking.

        Raises
        ------
        RunNotFound
            If the run was deleted meanwhile.
        """
        width = sum(len(part.outputs) for part in self.spec.scenarios)
        most = max(1, min(PAGE, PAGE_VALUES // max(1, width)))
        after = 0
        while after < self.position:
            count = min(most, self.position - after)
            if self._held is None:
                page = self._store.steps(self._run_id, after, count)
            else:
                page = self._held[after : after + count]
            if not page:
                raise RunNotFound(run=self._run_id)
            yield page
            after += len(page)
