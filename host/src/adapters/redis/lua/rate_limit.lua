-- KEYS: when the user's requests are used up, in microseconds. ARGV: microseconds between requests, and how many may come at once in those.
-- 0, or after how many microseconds to come back (the generic cell rate algorithm, as the limiter within each process has it).
-- A rate is worth nothing after a second: neither the file nor a replica is told.
redis.set_repl(redis.REPL_NONE)
local time = redis.call('TIME')
local now, each, burst = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
-- Never further than the burst: the server's clock may have been set back.
local used = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), now + burst) + each
if used > now + burst then return math.ceil(used - now - burst) end
redis.call('SET', KEYS[1], string.format('%.0f', used), 'PX', math.ceil((used - now) / 1000))
return 0
