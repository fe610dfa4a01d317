-- KEYS: lease, last token. ARGV: ttl. The token, or '' if somebody has the lease. Tokens begin with the server's time in microseconds,
-- so that they grow even if the bucket forgets the last one.
if redis.call('EXISTS', KEYS[1]) == 1 then return '' end
local time = redis.call('TIME')
local token = time[1] .. ('0'):rep(6 - #time[2]) .. time[2]
local last = redis.call('GET', KEYS[2])
if last and not less(last, token) then token = add(last, '1') end
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
