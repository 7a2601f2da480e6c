"""The query of `GET /runs`: which runs are asked for, in which order, and which page of them."""

import re
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from perdure.api.schemas import Text, digits
from perdure.drivers.session_requests import Owner
from perdure.errors import Invalid, nearest
from perdure.lifecycle import RunStatus
from perdure.run import MAX_NAME, MAX_TAGS, TAG_PATTERN, Label
from perdure.stores.run_list import Cursor, RunFilter, RunOrder

__all__ = ["RunQuery", "next_link"]

Sort = Literal["created", "-created", "updated", "-updated", "name", "-name"]
assert set(get_args(Sort)) == set(RunOrder)

STATES = tuple(state.value for state in RunStatus)
CURSOR_LENGTH = 1200  # characters; that of the longest name has fewer

_NUMBER = re.compile(r"-?\d{1,17}(\.\d{1,17})?([eE][+-]?\d{1,3})?", re.ASCII)


def _words(of_one: str) -> dict[str, Any]:
    """Return the schema of words that are separated by commas."""
    return {"pattern": f"^{of_one}(,{of_one})*$"}


def _states(value: str) -> str:
    for state in value.split(","):
        if state not in STATES:
            meant = nearest(state, STATES)
            known = ", ".join(STATES)
            raise ValueError(
                f"must be one or more of {known}, separated by commas"
                + (f": did you mean {meant}?" if meant else "")
            )
    return value


def _tags(value: str) -> str:
    try:
        Label(tags=tuple(value.split(",")))
    except Invalid as error:
        raise ValueError(f"must be tags separated by commas. {error}") from error
    return value


def _seconds(value: object) -> object:
    """Take a number as JSON writes it."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("must be a Unix time, in seconds")
    return value


Seconds = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_seconds)]


class RunQuery(BaseModel):
    """Which runs are asked for: those that all of it holds of; and which page of them."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["session", "task", "experiment"] | None = Field(
        default=None, description="Only runs of this kind."
    )
    state: Annotated[str, AfterValidator(_states)] | None = Field(
        default=None,
        description="Only runs in one of these states, separated by commas.",
        examples=["started,paused"],
        json_schema_extra=_words(f"({'|'.join(STATES)})"),
    )
    tag: Annotated[str, AfterValidator(_tags)] | None = Field(
        default=None,
        description=f"Only runs that have all of these tags, at most {MAX_TAGS}, separated by commas.",
        examples=["nightly,model=sir"],
        json_schema_extra=_words(TAG_PATTERN[1:-1].replace("*", "{0,63}")),
    )
    name: Annotated[Text, Field(max_length=MAX_NAME)] | None = Field(
        default=None, description="Only runs whose name begins with this."
    )
    q: Annotated[Text, Field(max_length=MAX_NAME)] | None = Field(
        default=None,
        description="Only runs with this in their name or id; the case of ASCII letters doesn't matter.",
    )
    owner: Annotated[Text, Field(max_length=MAX_NAME)] | None = Field(
        default=None, description="Only this owner's runs; one's own unless an administrator asks."
    )
    created_after: Seconds | None = Field(
        default=None, description="Only runs made later than this Unix time, in seconds."
    )
    created_before: Seconds | None = Field(
        default=None, description="Only runs made earlier than this Unix time, in seconds."
    )
    updated_after: Seconds | None = Field(
        default=None, description="Only runs updated later than this Unix time, in seconds."
    )
    updated_before: Seconds | None = Field(
        default=None, description="Only runs updated earlier than this Unix time, in seconds."
    )
    sort: Sort = Field(
        default="-created", description="What they are ordered by; with a minus the largest comes first."
    )
    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(digits)] = Field(
        default=100, description="Maximum number of runs in the answer."
    )
    cursor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$", max_length=CURSOR_LENGTH)] | None = Field(
        default=None, description="The `next` of the page before, with the same `sort`."
    )

    offset: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(digits)] = Field(
        default=0, description="How many runs to leave out at first, behind the cursor if there is one."
    )
    total: Literal["true", "false"] = Field(
        default="false", description="Whether to count all runs that are asked for."
    )

    @property
    def order(self) -> RunOrder:
        """What the runs are ordered by."""
        return RunOrder(self.sort)

    @property
    def counts(self) -> bool:
        """Whether the runs are to be counted."""
        return self.total == "true"

    @property
    def behind(self) -> Cursor | None:
        """Where the page begins; `Invalid` if the cursor is no one's, or of another order."""
        return None if self.cursor is None else Cursor.parse(self.cursor, self.order)

    def filter(self, owner: Owner) -> RunFilter | None:
        """Return which runs an owner asks for; None if they are another's, who has none for him."""
        if owner is not None and self.owner not in (None, owner):
            return None
        return RunFilter(
            owner=self.owner if owner is None else owner,
            kind=self.kind,
            states=None if self.state is None else frozenset(map(RunStatus, self.state.split(","))),
            tags=() if self.tag is None else Label(tags=tuple(self.tag.split(","))).tags,
            name=self.name,
            text=self.q,
            created_after=self.created_after,
            created_before=self.created_before,
            updated_after=self.updated_after,
            updated_before=self.updated_before,
        )


def next_link(query: RunQuery, cursor: str) -> str:
    """Return the `Link` header that leads to the next page (RFC 8288)."""
    given = query.model_dump(exclude_unset=True, exclude_none=True, exclude={"offset", "total"})
    asked = given | {"cursor": cursor}
    return f'</runs?{urlencode(asked)}>; rel="next"'
