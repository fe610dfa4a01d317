-- KEYS: lease, outbox, epoch, index of accounts, prefix of accounts. ARGV: token, step, its argument. 0 if the lease was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local step = ARGV[2]
if step == 'renew' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif step == 'give_back' then
  redis.call('DEL', KEYS[1])
elseif step == 'drop_epoch' then
  redis.call('DEL', KEYS[3])
elseif step == 'set_epoch' then
  local now = history()
  -- What was seen to before the recovery's end was in another history.
  if now == '' or now ~= ARGV[3] then return 4 end
  local before = redis.call('GET', KEYS[3])
  if number_of(before) then return 1 end
  -- Events that are still here are in nobody's books, and their holds are about to be forgotten.
  if redis.call('XLEN', KEYS[2]) > 0 then return 3 end
  -- Nobody can fill an account until the epoch is there, so this ends; in portions, so that others have their turn.
  local names = redis.call('SPOP', KEYS[4], 500)
  for _, name in ipairs(names) do redis.call('UNLINK', KEYS[5] .. name) end
  if #names == 500 then return 2 end
  local time = redis.call('TIME')
  local number = time[1] .. ('0'):rep(6 - #time[2]) .. time[2]
  -- Clocks of servers differ, and may be set back; no number is given twice.
  local last = before and before:match('^%d+')
  if last and not less(last, number) then number = add(last, '1') end
  redis.call('SET', KEYS[3], number .. '@' .. now)
end
return 1
