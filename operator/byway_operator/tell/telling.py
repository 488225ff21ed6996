"""Every object's status as it was told last, and what it was told on. Time is an argument.

verdicts, fleet, health --> which may read otherwise (`afresh`) --> status_of each of those --> `statuses`
"""

from collections.abc import Mapping, Set

from byway_operator.resources.manifest import Key, Manifest, World
from byway_operator.tell.afresh import Grounds, afresh, at_rest, everything_every_s
from byway_operator.tell.conditions import Status
from byway_operator.tell.tell import status_of


class Telling:
    def __init__(self) -> None:
        self.statuses: dict[Key, Status] = {}
        self.led = False
        """Whether they were said to anybody. Otherwise another operator's words are what was said last."""
        self._lives: Mapping[Key, str] = {}
        """Of which life of each object they speak."""
        self._grounds: Grounds | None = None
        self._moving: set[Key] = set()
        """Those that an ack or time may change."""
        self._everything_at = 0.0

    def tell(self, grounds: Grounds, world: World, good: Mapping[Key, Manifest], leads: bool, now: float) -> None:
        """`leads`: whether it is up to us to speak. `good`: last good forms."""
        stale, lives = self._stale(grounds, now), {}
        for key, verdict in grounds.verdicts.items():
            manifest = world.manifests.get(key)
            if manifest is None:
                continue
            lives[key] = manifest.uid
            if stale is None or key in stale or self._lives.get(key) != manifest.uid:
                before = self._said_last(key, world)
                status = status_of(
                    verdict, manifest, grounds.fleet, grounds.health, before, now, good.get(key), grounds.books
                )
                self.statuses[key] = status
                (self._moving.discard if at_rest(status) else self._moving.add)(key)
        for key in self.statuses.keys() - lives.keys():
            del self.statuses[key]
        self._moving &= lives.keys()
        self._grounds, self._lives, self.led = grounds, lives, leads

    def _stale(self, grounds: Grounds, now: float) -> Set[Key] | None:
        """Whose status is to be worked out; None: everybody's."""
        due = not self.led or now - self._everything_at >= everything_every_s(grounds.health, now)
        keys = None if due or self._grounds is None else afresh(self._grounds, grounds)
        if keys is None:
            self._everything_at = now
            return None
        return keys | self._moving

    def _said_last(self, key: Key, world: World) -> Status | None:
        """What we said of it; or what another operator did, of an object that we see, or speak of, for the first
        time: times in it stand."""
        ours = self.led and self._lives.get(key) == world.manifests[key].uid
        return self.statuses.get(key) if ours else world.told.get(key)
