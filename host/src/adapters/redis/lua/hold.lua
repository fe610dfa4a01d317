-- KEYS: epoch, outcome, account, outbox, base of the payer's shard
-- ARGV: digest|asset, amount, event id, lifetime of the outcome, bound of the outbox, event, now, number of the epoch, then for each
--       counter: key, delta, max, expires, ttl
local there = redis.call('MGET', KEYS[1], KEYS[2])
if there[2] then return { 'known', there[2] } end
local account = redis.call('HMGET', KEYS[3], 's', 'h', 'x', 'o' .. ARGV[3])
-- An outcome that has expired is still with the hold while that is open.
if account[4] then return { 'known', account[4] } end
local epoch = number_of(there[1])
if not epoch then return { 'recovering' } end
if epoch ~= ARGV[8] then return { 'epoch' } end
if not account[1] then return { account[3] and 'none' or 'miss' } end

local values, space = {}
if #ARGV > 8 then space = { base = KEYS[5], now = tonumber(ARGV[7]), slots = {}, order = {} } end
for at = 9, #ARGV, 5 do
  local value, why = count(space, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  if not value then return { why, ARGV[at], #values } end
  values[#values + 1] = value
end

local spendable, amount = account[1], ARGV[2]
if not is_positive(amount) or less(spendable, amount) then return { 'insufficient', spendable } end
if redis.call('XLEN', KEYS[4]) >= tonumber(ARGV[5]) then return { 'full' } end

-- Both fit: what is held and what can be spent sum to no more than the balance. Nothing may fail after the first write.
local left, held = minus(spendable, amount), add(account[2], amount)
if not held then return { 'insufficient', spendable } end
local told = amount .. '|' .. left .. '|' .. table.concat(values, ',')
local entry = redis.call('XADD', KEYS[4], '*', 'b', ARGV[6], 'o', told)
local outcome = ARGV[1] .. '|' .. entry .. '|' .. told
redis.call('SET', KEYS[2], outcome, 'PX', ARGV[4])
redis.call('HSET', KEYS[3], 's', left, 'h', held, 'o' .. ARGV[3], outcome)
-- With an open hold it has no expiry already.
if account[2] == '0' then redis.call('PERSIST', KEYS[3]) end
if space then write_space(space) end
return { 'held', outcome }
