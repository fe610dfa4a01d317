-- KEYS: epoch, account
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local account = redis.call('HMGET', KEYS[2], 'b', 'v', 'h')
return account[1] and account or {}
