-- KEYS: for each: account, lease. ARGV: for each: ttl, balance or '', version, number of event ids, then these.
local function release(key, lease, ttl, settled, newest, first, last)
  local account = redis.call('HMGET', key, 'b', 'v', 'h')
  local balance, version, held = account[1], account[2], account[3]
  if not balance then
    -- A load under way has read the database too early; and a user that did not exist may exist now.
    redis.call('DEL', key, lease)
    return
  end
  for at = first, last do
    local outcome = redis.call('HGET', key, 'o' .. ARGV[at])
    if outcome then
      held = minus(held, outcome:match('^[^|]*|[^|]*|[^|]*|(%d+)|'))
      redis.call('HDEL', key, 'o' .. ARGV[at])
    end
  end
  if settled ~= '' and less(version, newest) then balance, version = settled, newest end
  redis.call('HSET', key, 'b', balance, 'v', version, 'h', held, 's', minus(balance, held))
  if redis.call('HLEN', key) == 4 then redis.call('PEXPIRE', key, ttl) end
end

local at, fault = 1, nil
for index = 1, #KEYS, 2 do
  local last = at + 3 + tonumber(ARGV[at + 3])
  -- One that fails takes none of the others with it.
  local done, why = pcall(release, KEYS[index], KEYS[index + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2], at + 4, last)
  if not done then fault = fault or why end
  at = last + 1
end
if fault then return type(fault) == 'table' and fault or redis.error_reply('ERR ' .. fault) end
return 1
