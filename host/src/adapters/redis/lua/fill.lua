-- KEYS: epoch, account, lease, index of accounts, prefix of accounts
-- ARGV: token, name, ttl, balance or '' for an account that does not exist, version
local epoch = redis.call('GET', KEYS[1])
if not epoch or redis.call('GET', KEYS[3]) ~= ARGV[1] .. '@' .. epoch then return 0 end
if redis.call('HEXISTS', KEYS[2], 's') == 1 then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[4] == '' then
  redis.call('HSET', KEYS[2], 'x', 1)
else
  redis.call('HSET', KEYS[2], 'b', ARGV[4], 'v', ARGV[5], 'h', '0', 's', ARGV[4])
  redis.call('SADD', KEYS[4], ARGV[2])
  -- Two at random, so that those that have expired are no more than about half of the index.
  for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[4], 2)) do
    if redis.call('EXISTS', KEYS[5] .. name) == 0 then redis.call('SREM', KEYS[4], name) end
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
