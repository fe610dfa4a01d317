-- KEYS: epoch, account, lease. ARGV: token, ttl. The lease ends with the epoch.
local epoch = number_of(redis.call('GET', KEYS[1]))
if not epoch or redis.call('HEXISTS', KEYS[2], 's') == 1 then return 0 end
local mine = ARGV[1] .. '@' .. epoch
if redis.call('SET', KEYS[3], mine, 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[3]) == mine and 1 or 0
