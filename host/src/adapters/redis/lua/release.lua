-- KEYS: account, lease. ARGV: ttl, balance or '', version, then event ids.
local account = redis.call('HMGET', KEYS[1], 'b', 'v', 'h')
local balance, version, held = account[1], account[2], account[3]
if not balance then
  -- A load under way has read the database too early; and a user that did not exist may exist now.
  redis.call('DEL', KEYS[1], KEYS[2])
  return 0
end
for at = 4, #ARGV do
  local outcome = redis.call('HGET', KEYS[1], 'o' .. ARGV[at])
  if outcome then
    redis.call('HDEL', KEYS[1], 'o' .. ARGV[at])
    held = minus(held, outcome:match('^[^|]*|[^|]*|[^|]*|(%d+)|'))
  end
end
if ARGV[2] ~= '' and less(version, ARGV[3]) then balance, version = ARGV[2], ARGV[3] end
redis.call('HSET', KEYS[1], 'b', balance, 'v', version, 'h', held, 's', minus(balance, held))
if redis.call('HLEN', KEYS[1]) == 4 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
