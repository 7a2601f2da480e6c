"""Former states: the state of a model of agents in the form of Perdure 0.1, turned into today's.

There, an object stood as a list with a tag and its number where it first occurred, within what held it.
"""

from typing import Any

__all__ = ["renewed"]

_EVENT_MODULE = "perdure.engines.agents.events"


def renewed(state: Any) -> Any:
    """Return a state in today's form; raise `ValueError` if it is in no known form."""
    return state if "nodes" in state else _Renewing().state(state)


class _Renewing:
    def __init__(self) -> None:
        self._nodes: dict[int, list[Any]] = {}

    def state(self, state: Any) -> Any:
        """Return a whole state."""
        new = {**state, "agents": [self._table(table) for table in state["agents"]]}
        for part in ("attributes", "parts", "scheduler", "collector"):
            new[part] = {name: self._value(data) for name, data in (state[part] or {}).items()}
        new["events"] = None
        new["parts"]["events"] = self._events(state["events"])
        new["nodes"] = [self._nodes[number] for number in range(len(self._nodes))]
        return new

    def _table(self, table: Any) -> Any:
        new = {**table, "others": [self._values(handlers) for handlers in table["others"]]}
        for part in ("columns", "types", "values"):
            new[part] = {name: self._column(column) for name, column in table[part].items()}
        return new

    def _column(self, column: Any) -> Any:
        kind, *data = column
        return ["data", self._values(data[0])] if kind in ("data", "plain") else column

    def _events(self, events: Any) -> Any:
        if "events" in events:
            return self._value(events["events"])
        columns = {name: self._values(values) for name, values in events["columns"].items()}
        listed = []
        for row, delay in enumerate(events["delays"]):
            attributes = {name: values[row] for name, values in columns.items()}
            kind = "Event" if delay is None else "DelayedEvent"
            attributes |= {} if delay is None else {"delay": delay}
            record = ["object", ["named", _EVENT_MODULE, kind], attributes]
            listed.append(self._node(events["first"] + row, record))
        return self._node(len(self._nodes), ["list", listed])

    def _node(self, number: int, record: list[Any]) -> list[int]:
        self._nodes[number] = record
        return [number]

    def _values(self, values: list[Any]) -> list[Any]:
        return [*map(self._value, values)]

    def _value(self, data: Any) -> Any:
        if type(data) is int and not -(1 << 63) <= data < 1 << 64:
            return ["int", str(data)]
        if type(data) is not list:
            return data if type(data).__module__ != "numpy" else ["scalar", data]
        match data:
            case ["tuple", items]:
                return ["tuple", self._values(items)]
            case ["model_itself"]:
                return ["model"]
            case ["agent" | "element" | "constructed" | "named" | "as constructed", *_]:
                return data
            case ["enum", module, name, member]:
                return ["member", ["named", module, name], member]
            case ["method", owner, name]:
                return ["bound", self._value(owner), name]
            case ["of_the_process", module, name]:
                return ["named", module, name]
            case ["same", number]:
                return [number]
            case [str(kind), int(number), *parts]:
                return self._node(number, self._record(kind, parts))
        raise ValueError(f"there is no kind of value {data[0]!r:.40}")

    def _record(self, kind: str, parts: list[Any]) -> list[Any]:
        match kind, parts:
            case "list", [items]:
                return [kind, self._values(items)]
            case (("dict" | "OrderedDict"), [keys, values]):
                return [kind, self._values(keys), self._values(values)]
            case "Counter", [keys, values]:
                content = [self._values(keys), self._values(values)]
                return ["derived", "dict", content, ["named", "collections", kind], {}]
            case "defaultdict", [factory, keys, values]:
                return [kind, self._values(keys), self._values(values), self._factory(factory)]
            case "deque", [items, limit]:
                return [kind, self._values(items), limit]
            case "partial", [function, items, names, values]:
                named = dict(zip(names, self._values(values), strict=True))
                return [kind, self._factory(function), self._values(items), named, {}]
            case "objects", [shape, items, *rest]:
                return [kind, shape, self._values(items), *rest]
            case "view", [root, view, writeable]:
                return [kind, self._value(root), *view, writeable]
            case "table", [frame]:
                return ["frame", frame]
            case "random", [state]:
                return [kind, state, ["named", "random", "Random"], {}]
            case "generator", [bits]:
                return [kind, self._value(bits)]
            case "bits", [name, state, seeds]:
                return [kind, name, state, self._value(seeds)]
            case (("array" | "seeds"), _):
                return [kind, *parts]
            case "object", [module, name, *attributes]:
                return [kind, ["named", module, name], *self._named(attributes)]
            case "derived", [base, content, module, name, *attributes]:
                if base in ("int", "float", "str", "bytes"):
                    held = self._values(content)
                elif base in ("list", "tuple"):
                    held = [self._values(content[0])]
                elif base == "deque":
                    held = [self._values(content[0]), content[1]]
                else:
                    held = [self._values(content[0]), self._values(content[1])]
                    held += map(self._factory, content[2:])
                return [kind, base, held, ["named", module, name], *self._named(attributes)]
        raise ValueError(f"there is no kind of value {kind!r:.40}")

    def _named(self, attributes: list[Any]) -> list[Any]:
        pairs = zip(attributes[::2], attributes[1::2], strict=True)
        return [dict(zip(names, self._values(values), strict=True)) for names, values in pairs]

    def _factory(self, data: Any) -> Any:
        return ["named", "builtins", data] if type(data) is str else self._value(data)
