-- KEYS: ranking. ARGV: first, last. The kind, the expiry, and in order for each place: name, score.
local found = redis.call('HMGET', KEYS[1], 't', 'e')
if not found[1] then return {} end
return { found[1], found[2], found[1] == 'r' and redis.call('ZRANGE', KEYS[1] .. 'z', ARGV[1], ARGV[2], 'WITHSCORES') or {} }
