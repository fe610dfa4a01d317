-- KEYS: for each: account, lease. ARGV: for each: ttl, balance or '', version, number of event ids, then these.
local function release(key, lease, ttl, settled, newest, first, last)
  -- A batch has up to 1,000 events; one that it names twice is released once.
  local outcomes, is_named = {}, {}
  for at = first, last do
    local outcome = 'o' .. ARGV[at]
    if not is_named[outcome] then outcomes[#outcomes + 1] = outcome end
    is_named[outcome] = true
  end
  local account = redis.call('HMGET', key, 'b', 'v', 'h', unpack(outcomes))
  local balance, version, held = account[1], account[2], account[3]
  if not balance then
    -- A load under way has read the database too early; and a user that did not exist may exist now.
    redis.call('DEL', key, lease)
    return
  end
  for index = 1, #outcomes do
    local outcome = account[3 + index]
    if outcome then held = minus(held, outcome:match('^[^|]*|[^|]*|[^|]*|(%d+)|')) end
  end
  if #outcomes > 0 then redis.call('HDEL', key, unpack(outcomes)) end
  if settled ~= '' and less(version, newest) then balance, version = settled, newest end
  redis.call('HSET', key, 'b', balance, 'v', version, 'h', held, 's', minus(balance, held))
  -- Every hold is of 1 or more, so nothing is held when none is open, but for a sum that left 64 bits when the account was filled.
  if held == '0' or redis.call('HLEN', key) == 4 then redis.call('PEXPIRE', key, ttl) end
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
