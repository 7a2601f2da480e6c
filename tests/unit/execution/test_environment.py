"""Of an environment a child sees what is on the list, or named, and nothing else."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.execution.environment import ALLOWED, allowed

NAMES = st.one_of(
    st.text(st.characters(exclude_characters="=\0", codec="utf-8"), min_size=1),
    st.sampled_from([pattern.replace("*", "X") for pattern in ALLOWED]),
)


@given(st.dictionaries(NAMES, st.text()), st.sets(NAMES))
def test_what_is_left_is_on_the_list_or_named(environment: dict[str, str], named: set[str]) -> None:
    left = allowed(environment, named)
    assert left.items() <= environment.items()
    for name in environment:
        listed = any(fnmatchcase(name, pattern) for pattern in ALLOWED)
        assert (name in left) == (listed or name in named)


@pytest.mark.parametrize(
    "name",
    [
        "PERDURE_TOKENS",
        "PERDURE_STORE",
        "PERDURE_ARTIFACTS",
        "PGPASSWORD",
        "REDIS_URL",
        "CELERY_BROKER_URL",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SSH_AUTH_SOCK",
        "DBUS_SESSION_BUS_ADDRESS",
        "LD_PRELOAD",
        "path",
        "LANGUAGES",
        "MYPATH",
    ],
)
def test_addresses_passwords_and_sockets_are_none_of_a_childs_business(name: str) -> None:
    assert allowed({name: "secret", "PATH": "/bin"}) == {"PATH": "/bin"}
