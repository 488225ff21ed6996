"""Find fallback models that lead back to where they came from.

A name in `fallbackModels` is looked up as a caller of the route's namespace would: its own routes, then routes that
trusted namespaces share with it, then `namespace/route`. What is no route is a model, and ends there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from byway_operator.compile.sharing import may_use
from byway_operator.resources.manifest import Key
from byway_operator.resources.model_route import ModelRoute


@dataclass(frozen=True)
class Fallbacks:
    routes: Mapping[Key, ModelRoute]
    """Those that serve."""
    owners: Mapping[tuple[str, str], Key]
    """(namespace, name) → route."""
    trusted: tuple[str, ...]
    shared: Mapping[Key, tuple[str, ...]]
    """With whom each shares itself."""
    authors: frozenset[str] = frozenset()
    """Of the catalogue: with one in front a name is a model."""

    def cycles(self) -> Iterator[tuple[Key, ...]]:
        """Circles that have no route in common, each in the order one would walk it."""
        done: set[Key] = set()
        for start in sorted(self.routes):
            path: dict[Key, None] = {}
            circle = self._walk(start, path, done)
            done.update(path)
            if circle:
                yield circle

    def _walk(self, start: Key, path: dict[Key, None], done: set[Key]) -> tuple[Key, ...]:
        """Depth first, without recursion: a chain may be as long as there are routes."""
        if start in done:
            return ()
        steps = [(start, iter(self._next(start)))]
        on_path = {start: None}
        path[start] = None
        while steps:
            here, onward = steps[-1]
            there = next(onward, None)
            if there is None:
                steps.pop()
                del on_path[here]
            elif there in on_path:
                walked = list(on_path)
                return tuple(walked[walked.index(there) :])
            elif there not in path and there not in done:
                path[there] = on_path[there] = None
                steps.append((there, iter(self._next(there))))
        return ()

    def _next(self, key: Key) -> Iterable[Key]:
        found = (self._resolve(name, key.namespace) for name in self.routes[key].spec.fallback_models)
        return [there for there in found if there is not None and there in self.routes]

    def _resolve(self, name: str, namespace: str) -> Key | None:
        own = self.owners.get((namespace, name))
        if own is not None:
            return own
        for trusted in self.trusted:
            shared = self.owners.get((trusted, name))
            if shared is not None and self._shares(shared, namespace):
                return shared
        where, _, route = name.partition("/")
        if where in self.authors:
            return None
        spelled_out = Key("ModelRoute", where, route)
        return spelled_out if route and self._shares(spelled_out, namespace) else None

    def _shares(self, key: Key, namespace: str) -> bool:
        return key in self.routes and may_use(self.shared[key], key.namespace, namespace)
