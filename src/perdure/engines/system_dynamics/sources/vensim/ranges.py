"""The subscript ranges of a Vensim model, with their elements in full."""

from collections.abc import Iterable, Mapping, Sequence

from perdure.engines.system_dynamics.sources.form import Dimension, canonical
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.vensim.parsing import Range
from perdure.engines.system_dynamics.sources.vensim.spreadsheets import Spreadsheets

__all__ = ["Ranges"]


class Ranges:
    """All ranges by their canonical names.

    Parameters
    ----------
    ranges
        As they are parsed; ranges may name ranges that come later.
    sheets
        What ranges in spreadsheets are read from.
    problems
        Where ranges are noted that make no sense; they are left out.
    """

    def __init__(self, ranges: Iterable[Range], sheets: Spreadsheets, problems: Problems) -> None:
        self._ranges = {canonical(each.name): each for each in ranges}
        self._sheets = sheets
        self._elements: dict[str, tuple[str, ...]] = {}
        self._problems = problems
        for name, each in self._ranges.items():
            with problems.at(each.entry.line, each.name):
                self._resolve(name, ())

    def __contains__(self, name: str) -> bool:
        return canonical(name) in self._elements

    def elements(self, name: str) -> tuple[str, ...]:
        """Return the elements of a range; of an element, itself."""
        return self._elements.get(canonical(name), (name,))

    def whole(self, name: str) -> tuple[str, ...]:
        """Return the elements, canonical, of the largest range that has all those of a range."""
        own = self.elements(name)
        keys = {canonical(element) for element in own}
        best = tuple(map(canonical, own))
        for elements in self._elements.values():
            if len(elements) > len(best) and keys <= {canonical(element) for element in elements}:
                best = tuple(map(canonical, elements))
        return best

    def size(self, name: str) -> int:
        """Return how many elements a range has; 1 for an element."""
        return len(self.elements(name))

    def covering(self, names: Sequence[str]) -> str | None:
        """Return the range that has all elements of `names` and the fewest others; None if none has them.

        Of equal ones the one that `names` begins with, or that is defined first.
        """
        wanted = {canonical(element) for name in names for element in self.elements(name)}
        best: tuple[int, int, str] | None = None
        for i, (name, elements) in enumerate(self._elements.items()):
            if wanted <= {canonical(element) for element in elements}:
                rank = len(elements), -1 if name == canonical(names[0]) else i, name
                best = rank if best is None else min(best, rank)
        return None if best is None else self._ranges[best[2]].name

    def form(self) -> tuple[Dimension, ...]:
        """Return the dimensions of the form, with their mappings in both directions."""
        mappings: dict[str, list[tuple[str, tuple[str, ...]]]] = {name: [] for name in self._elements}
        for name, elements in self._elements.items():
            each = self._ranges[name]
            if isinstance(each.definition, str):
                original = canonical(each.definition)
                if original in mappings:
                    mappings[name].append((self._ranges[original].name, self._elements[original]))
                    mappings[original].append((each.name, elements))
            for target, listed in each.mappings:
                other = canonical(target)
                if other in mappings:
                    self._map(mappings, name, other, listed)
        return tuple(
            Dimension(
                self._ranges[name].name,
                elements,
                mappings=tuple(mappings[name]),
                line=self._ranges[name].entry.line,
            )
            for name, elements in self._elements.items()
        )

    def _map(
        self,
        mappings: Mapping[str, list[tuple[str, tuple[str, ...]]]],
        name: str,
        other: str,
        listed: tuple[str, ...],
    ) -> None:
        """Add the mapping of `name` to `other`; several elements of `other` may belong to one of `name`."""
        own, theirs = self._elements[name], self._elements[other]
        groups = [self.elements(each) for each in listed] if listed else [(each,) for each in theirs]
        if len(groups) != len(own):
            each = self._ranges[name]
            reason = f"the mapping to {self._ranges[other].name!r} has {len(groups)} parts, not {len(own)}"
            self._problems.add(each.entry.line, each.name, reason)
            return
        if all(len(group) == 1 for group in groups):
            mappings[name].append((self._ranges[other].name, tuple(group[0] for group in groups)))
        back = {canonical(one): mine for mine, group in zip(own, groups, strict=True) for one in group}
        if all(canonical(each) in back for each in theirs):
            mappings[other].append((self._ranges[name].name, tuple(back[canonical(each)] for each in theirs)))

    def _resolve(self, name: str, within: tuple[str, ...]) -> tuple[str, ...]:
        if name in self._elements:
            return self._elements[name]
        each = self._ranges[name]
        if name in within:
            raise Unservable("the range is defined by itself")
        definition = each.definition
        if isinstance(definition, dict):
            listed: tuple[str, ...] = tuple(
                self._sheets.names(
                    definition["file"],
                    definition["tab"],
                    definition["firstcell"],
                    definition["lastcell"],
                    definition["prefix"],
                )
            )
        else:
            listed = (definition,) if isinstance(definition, str) else definition
        elements: dict[str, str] = {}
        for part in listed:
            key = canonical(part)
            nested = self._resolve(key, (*within, name)) if key in self._ranges else (part,)
            elements |= {canonical(element): element for element in nested}
        self._elements[name] = tuple(elements.values())
        return self._elements[name]
