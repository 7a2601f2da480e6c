"""Clock methods: a script has the real `datetime`, and what its methods say comes from the journal."""

import datetime
import pickle
import types
from pathlib import Path
from textwrap import dedent
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.clock_methods import ClockMethods, compiled
from perdure.engines.clocks import builtins_with

MOMENT = datetime.datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.UTC)
MICROSECONDS = int(MOMENT.timestamp()) * 1_000_000 + 123456
LOCAL = MOMENT.astimezone().replace(tzinfo=None)
ZONE = datetime.timezone(datetime.timedelta(hours=5))


def executed(source: str, reading: int | None = MICROSECONDS) -> tuple[dict[str, Any], list[Any]]:
    """Return the variables of a script, and what it read from clocks."""
    read: list[Any] = []

    def journal(name: str, now: Any) -> Any:
        read.append((name, now))
        return now if reading is None else reading

    main = types.ModuleType("main_of_test")
    vars(main).update(__builtins__=builtins_with({}, ClockMethods(journal)))
    exec(compiled(dedent(source).encode(), "script.py"), vars(main))
    return vars(main), read


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("datetime.datetime.now()", LOCAL),
        ("moment.now()", LOCAL),
        ("moment.now(None)", LOCAL),
        ("moment.now(datetime.UTC)", MOMENT),
        ("moment.now(tz=ZONE)", MOMENT.astimezone(ZONE)),
        ("moment.today()", LOCAL),
        ("moment.utcnow()", MOMENT.replace(tzinfo=None)),
        ("datetime.date.today()", LOCAL.date()),
        ("moment.now().now()", LOCAL),
        ("getattr(moment, 'now')()", LOCAL),
        ("[make() for make in (moment.now, moment.today)][1]", LOCAL),
        ("f'{moment.now():%Y}'", "2020"),
        ("(lambda read=moment.now: read())()", LOCAL),
    ],
)
def test_what_the_methods_say_comes_from_the_journal(expression: str, value: object) -> None:
    names, read = executed(
        f"""
        import datetime
        from datetime import datetime as moment
        ZONE = datetime.timezone(datetime.timedelta(hours=5))
        found = {expression}
        """
    )
    assert (names["found"], type(names["found"])) == (value, type(value))
    assert {name for name, _ in read} == {"datetime.now"}


def test_now_is_now() -> None:
    before = datetime.datetime.now()
    names, _ = executed("import datetime\nfound = datetime.datetime.now()", None)
    assert before <= names["found"] <= datetime.datetime.now()


def test_derived_classes_make_their_own_instances() -> None:
    names, read = executed(
        """
        import datetime

        class Moment(datetime.datetime):
            def double(self):
                return self.year * 2

            @classmethod
            def now(cls, tz=None):
                return super().now(tz)

        class Day(datetime.date):
            pass

        class Late(datetime.datetime):
            @classmethod
            def today(cls):
                return "late"

        moments = [Moment.now(), Moment.today(), Moment.utcnow(), Moment.now(datetime.UTC)]
        day, late, same = Day.today(), Late.today(), Late.now()
        """
    )
    assert {type(moment) for moment in names["moments"]} == {names["Moment"]}
    assert names["moments"][0] == LOCAL
    assert names["moments"][3] == MOMENT
    assert names["moments"][0].double() == 4040
    assert (type(names["day"]), names["day"]) == (names["Day"], LOCAL.date())
    assert (names["late"], type(names["same"]), names["same"]) == ("late", names["Late"], LOCAL)
    assert len(read) == 6


def test_the_classes_are_the_types_of_their_instances() -> None:
    names, _ = executed(
        """
        import datetime, functools
        from dataclasses import dataclass, field
        import msgspec, pydantic

        now, day = datetime.datetime.now(), datetime.date.today()
        assert type(now) is datetime.datetime and type(day) is datetime.date
        assert {datetime.datetime: "moment", datetime.date: "day"}[type(now)] == "moment"
        assert isinstance(now, datetime.date) and issubclass(datetime.datetime, datetime.date)

        @functools.singledispatch
        def text(value): return "other"
        @text.register
        def _(value: datetime.datetime): return "moment"
        @text.register(datetime.date)
        def _(value): return "day"
        assert (text(now), text(day), text(5)) == ("moment", "day", "other")

        match now:
            case datetime.datetime(year=year): assert year == 2020
            case _: raise AssertionError

        class Model(pydantic.BaseModel):
            at: datetime.datetime = pydantic.Field(default_factory=datetime.datetime.now)
            day: datetime.date

        model = Model(day=day)
        assert model.at == now and Model.model_validate_json(model.model_dump_json()) == model

        class Row(msgspec.Struct):
            at: datetime.datetime
            day: datetime.date

        assert msgspec.json.decode(msgspec.json.encode(Row(now, day)), type=Row) == Row(now, day)

        @dataclass
        class Event:
            at: datetime.datetime = field(default_factory=datetime.datetime.now)

        event = Event()
        """
    )
    assert names["datetime"] is datetime
    assert pickle.loads(pickle.dumps(names["now"])) == LOCAL
    assert pickle.loads(pickle.dumps(names["datetime"].datetime)) is datetime.datetime
    assert names["event"].at == LOCAL
    assert pydantic.TypeAdapter(datetime.datetime).validate_python(names["now"]) == LOCAL


def test_attributes_of_these_names_of_anything_else_are_what_they_are() -> None:
    names, read = executed(
        """
        import enum

        class Clock:
            now = 5
            def today(self): return self.now
            class utcnow(enum.Enum):
                now = 1

        clock = Clock()
        clock.now = 6
        clock.now += 1
        found = [clock.now, clock.today(), Clock.now, Clock.utcnow.now.value, getattr(clock, "none", 3)]
        match 5:
            case Clock.now: found.append("matched")
        match {1: 2}:
            case {Clock.utcnow.now: _}: pass
            case {1: x}: found.append(x)
        del clock.now
        try:
            Clock.utcnow.today
        except AttributeError as error:
            found.append(error.name)
        """
    )
    assert names["found"] == [7, 7, 5, 1, 3, "matched", 2, "today"]
    assert read == []


def test_lines_are_where_they_were() -> None:
    with pytest.raises(TypeError) as error:
        executed("import datetime\n\nx = 1\ndatetime.datetime.now(\n    'x')\n")
    lines = [entry.lineno + 1 for entry in error.traceback if Path(str(entry.path)).name == "script.py"]
    assert lines == [4]


@pytest.mark.parametrize("terms", [500, 2000])
def test_code_of_any_depth_is_compiled(terms: int) -> None:
    names, _ = executed(f"import datetime\nx = {' + '.join(['1'] * terms)}\n")
    assert names["x"] == terms


@given(st.integers(0, 4_000_000_000_000_000), st.integers(-1439, 1439))
def test_a_moment_is_the_reading_in_any_zone(microseconds: int, minutes: int) -> None:
    names, _ = executed("import datetime\nfound = datetime.datetime.now", microseconds)
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    found = names["found"](zone)
    assert found.utcoffset() == datetime.timedelta(minutes=minutes)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert (found - epoch) // datetime.timedelta(microseconds=1) == microseconds


def test_a_null_byte_in_a_file_says_file_and_line() -> None:
    with pytest.raises(SyntaxError, match="null bytes") as error:
        compiled(b"x = 1\ny = \0\n", "script.py")
    assert (error.value.filename, error.value.lineno) == ("script.py", 2)
