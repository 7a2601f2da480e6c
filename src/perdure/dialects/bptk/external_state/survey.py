"""The survey: checks an adapter's list without loading the sessions."""

from collections.abc import Iterable

import structlog

from perdure.dialects.bptk.external_state.legacy import LegacySession
from perdure.dialects.bptk.external_state.transfer import instance_of, read, state_of
from perdure.dialects.bptk.instance import Instance
from perdure.errors import CorruptBlob

__all__ = ["survey"]

log = structlog.get_logger(__name__)


def survey(listed: Iterable[object], *, check: bool) -> list[Instance]:
    """Return the instances of a list, without their sessions; may take long.

    Parameters
    ----------
    listed
        The adapter's list.
    check
        Whether their sessions are read too. Those that can't be read are logged and left out.
    """
    found = []
    for held in listed:
        name = getattr(held, "instance_id", None)
        try:
            state = state_of(held)
            instance = instance_of(state)
            if check and (legacy := read(state.state).legacy) is not None:
                LegacySession.parse(legacy)
        except CorruptBlob as error:
            if check:
                log.warning("external_state_refused", instance=name, reason=str(error))
            continue
        found.append(instance)
    log.info("external_state_listed", instances=len(found))
    return found
