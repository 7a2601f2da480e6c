"""A request that an unavailable store has refused says when it may be repeated."""

from perdure.errors import ServerClosing, StoreUnavailable
from perdure.web.failures import failure_of


def test_a_refusal_of_an_unavailable_store_has_a_time_after_which_to_repeat_it() -> None:
    failure = failure_of(StoreUnavailable(reason="PostgreSQL: it is away"), "request")
    assert (failure.status, failure.headers) == (503, {"Retry-After": "1"})
    assert failure_of(ServerClosing(), "request").headers == {}
