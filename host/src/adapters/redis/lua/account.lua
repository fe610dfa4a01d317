-- KEYS: epoch, account
if not number_of(redis.call('GET', KEYS[1])) then return {} end
local account = redis.call('HMGET', KEYS[2], 'b', 'v', 'h')
return account[1] and account or {}
