"""Tell the other proxies, through Valkey, what of each limit of a minute was used here, and hear what they used.

    Rates --tell--> one field a proxy, in one hash a counter --the others' sum--> Rates

Off every request's path: several times a second, a batch of counters in one call of a script that the server runs
in one piece. Each proxy writes what it has used, not what came to it: a call that is repeated, lost, or answered
too late makes nothing wrong, and a Valkey that begins anew knows everything again after an exchange with each.
Nothing in it is of worth a minute later; money is never in it. While it does not answer, and until all others can
have told it again, proxies keep to their shares.

A counter's name is a digest there: no limit's, account's or user's name leaves the house.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence

from byway_process.logs import Log
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from byway_proxy.meter.minute_limits import Counter
from byway_proxy.meter.rates import HEARD_FOR_S, Rates
from byway_proxy.meter.valkey_url import redis_url

EVERY_S = 0.2
"""Between two exchanges. They may also take as long as they need; what was heard is good for HEARD_FOR_S."""
AGAIN_S = 1.0
ANSWER_WITHIN_S = 1.0
HEAR_AFTER_S = 4.0
"""Connected anew: it may have forgotten all. By then the others have noticed, waited, and told it again."""
# So many counters are packed and read in well under a millisecond of the loop's time.
BATCH = 64
MOST_TOLD = 2048
"""Counters of one exchange, those counted on last. For others a proxy keeps to its share."""

# ARGV: whose fields these are, then what is used, one for each of KEYS. Returns what the others used. Who has told
# nothing for longer than a minute is gone, and so is what it used; the time is the server's.
_SCRIPT = b"""
local now, others = tonumber(redis.call('TIME')[1]), {}
for n, key in ipairs(KEYS) do
  local sum, fields = 0, redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    if fields[at] ~= ARGV[1] then
      local used, told = string.match(fields[at + 1], '^(%d+) (%d+)$')
      if told and now - tonumber(told) <= 61 then sum = sum + tonumber(used)
      else redis.call('HDEL', key, fields[at]) end
    end
  end
  if ARGV[n + 1] == '0' then redis.call('HDEL', key, ARGV[1])
  else
    redis.call('HSET', key, ARGV[1], ARGV[n + 1] .. ' ' .. now)
    redis.call('EXPIRE', key, 120)
  end
  others[n] = sum
end
return others
"""

_Told = tuple[Counter, int, int]


class Valkey:
    """`who` is unlike any other proxy's. Run it in one task with an owner."""

    def __init__(
        self,
        url: str,
        who: str,
        rates: Rates,
        log: Log,
        now: Callable[[], float],
        *,
        every_s: float = EVERY_S,
        again_s: float = AGAIN_S,
        hear_after_s: float = HEAR_AFTER_S,
    ) -> None:
        """Raises SettingsError."""
        self.answers = False
        """Whether the last exchange came to its end."""
        self.exchanges = 0
        self.failures = 0
        """In a row."""
        self._url, self._who, self._rates, self._log, self._now = redis_url(url), who, rates, log, now
        self._every_s, self._again_s, self._hear_after_s = every_s, again_s, hear_after_s
        self._hear_from = 0.0
        self._told: set[Counter] = set()

    @property
    def hears(self) -> bool:
        """Whether what it says of the others is gone by."""
        return self.answers and self._now() >= self._hear_from

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._connected() as server:
                    await self._talk(server)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)
            await asyncio.sleep(self._again_s)

    def _connected(self) -> Redis:
        return Redis.from_url(
            self._url,
            single_connection_client=True,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
        )

    async def _talk(self, server: Redis) -> None:
        script = await server.script_load(_SCRIPT)
        self._hear_from = self._now() + self._hear_after_s
        while True:
            await self.exchange(server, script)
            self.exchanges += 1
            if not self.answers:
                self.answers, self.failures = True, 0
                self._log.info("Valkey answers: limits of a minute are counted together")
            await asyncio.sleep(self._every_s)

    async def exchange(self, server: Redis, script: str) -> None:
        told = list(self._rates.tell(self._now()))[-MOST_TOLD:]
        counters = {counter for counter, _, _ in told}
        # What was told and is over is taken back, or the others would count it for a minute more.
        gone: list[_Told] = [(counter, 0, 0) for counter in self._told - counters]
        self._told |= counters
        for batch in _batches(told):
            sent_at = self._now()
            others = await self._call(server, script, batch)
            for (counter, used, mark), sum_of_others in zip(batch, others, strict=True):
                if sent_at < self._hear_from:
                    break
                self._rates.hear(counter, used, sum_of_others, mark, sent_at)
        for batch in _batches(gone):
            await self._call(server, script, batch)
        if not told and not gone:
            await server.ping()  # whether it is there should be known before it is needed
        self._told = counters

    async def _call(self, server: Redis, script: str, batch: Sequence[_Told]) -> list[int]:
        keys = [_key(counter) for counter, _, _ in batch]
        used = [str(n) for _, n, _ in batch]
        async with asyncio.timeout(HEARD_FOR_S):
            return [int(n) for n in await server.evalsha(script, len(keys), *keys, self._who, *used)]

    def _failed(self, error: Exception) -> None:
        self.answers = False
        self.failures += 1
        if self.failures == 1:
            # Not its words: they may quote the address, and a password in it.
            self._log.warning(
                "Valkey does not answer: each proxy keeps to its share of the limits of a minute",
                exception=type(error).__name__,
            )


def _batches(told: Sequence[_Told]) -> list[list[_Told]]:
    rest = iter(told)
    return list(iter(lambda: list(itertools.islice(rest, BATCH)), []))


def _key(counter: Counter) -> str:
    return "byway:rate:" + hashlib.sha256("\0".join(counter).encode()).hexdigest()[:32]
