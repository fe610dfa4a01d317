-- KEYS: epoch, index of accounts, prefix of accounts. Every cached account of the bucket; forgets those that have expired.
local found = {}
if not number_of(redis.call('GET', KEYS[1])) then return found end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local account = redis.call('HMGET', KEYS[3] .. name, 'b', 'v', 'h')
  if account[1] then
    found[#found + 1] = { name, account[1], account[2], account[3] }
  else
    redis.call('SREM', KEYS[2], name)
  end
end
return found
