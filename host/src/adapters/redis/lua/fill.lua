-- KEYS: epoch, account, lease, index of accounts, prefix of accounts
-- ARGV: token, name, ttl, balance or '' for an account that does not exist, version, lifetime of outcomes
-- Then for each event that waits: in KEYS its outcome, in ARGV event id, amount, outcome.
local epoch = number_of(redis.call('GET', KEYS[1]))
if not epoch or redis.call('GET', KEYS[3]) ~= ARGV[1] .. '@' .. epoch then return 0 end
if redis.call('HEXISTS', KEYS[2], 's') == 1 then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[4] == '' then
  redis.call('HSET', KEYS[2], 'x', 1)
else
  local held = '0'
  for number = 1, #KEYS - 5 do
    local at = 4 + 3 * number
    local outcome = ARGV[at + 2]
    -- An event may wait for several groups. Sums that leave 64 bits were never held; there is nothing to spend then.
    if redis.call('HSETNX', KEYS[2], 'o' .. ARGV[at], outcome) == 1 then
      held = add(held, ARGV[at + 1]) or '9223372036854775807'
    end
    redis.call('SET', KEYS[5 + number], outcome, 'PX', ARGV[6], 'NX')
  end
  redis.call('HSET', KEYS[2], 'b', ARGV[4], 'v', ARGV[5], 'h', held, 's', minus(ARGV[4], held))
  redis.call('SADD', KEYS[4], ARGV[2])
  -- Two at random, so that those that have expired are no more than about half of the index.
  for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[4], 2)) do
    if redis.call('EXISTS', KEYS[5] .. name) == 0 then redis.call('SREM', KEYS[4], name) end
  end
end
-- With an open hold it does not expire.
if #KEYS == 5 or ARGV[4] == '' then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1
