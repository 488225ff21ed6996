"""How many attempts may run at once: the caps of accounts and of routes' members, counted.

A cap is the whole fleet's; each proxy has its share of it, rounded up: a cap smaller than the fleet would otherwise
close an endpoint altogether. So a fleet of N may exceed a cap by less than N.
"""

from byway_proxy.choose.target import Slot


class Places:
    def __init__(self) -> None:
        self.proxies = 1
        self._taken: dict[str, int] = {}

    def full(self, slot: Slot) -> bool:
        return any(self._taken.get(key, 0) >= -(-cap // self.proxies) for key, cap in slot.caps)

    def take(self, slot: Slot) -> bool:
        if self.full(slot):
            return False
        for key, _ in slot.caps:
            self._taken[key] = self._taken.get(key, 0) + 1
        return True

    def give_back(self, slot: Slot) -> None:
        for key, _ in slot.caps:
            left = self._taken[key] - 1
            if left:
                self._taken[key] = left
            else:
                del self._taken[key]
