-- KEYS: ranking. ARGV: member. The kind, the expiry, and for a member its score and how many are before it.
local found = redis.call('HMGET', KEYS[1], 't', 'e', 'm' .. ARGV[1])
if not found[1] then return {} end
if found[1] ~= 'r' or not found[3] then return { found[1], found[2] } end
local _, name = place(found[3], ARGV[1])
return { found[1], found[2], found[3], redis.call('ZRANK', KEYS[1] .. 'z', name) }
