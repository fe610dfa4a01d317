-- KEYS: epoch, outcome, account. ARGV: event id.
-- An outcome that has expired is still with the hold while that is open.
local told = redis.call('GET', KEYS[2]) or redis.call('HGET', KEYS[3], 'o' .. ARGV[1])
if told then return { 'known', told } end
if not number_of(redis.call('GET', KEYS[1])) then return { 'recovering' } end
return { redis.call('HEXISTS', KEYS[3], 's') == 1 and 'unknown' or 'miss' }
