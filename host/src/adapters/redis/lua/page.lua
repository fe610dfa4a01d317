-- KEYS: epoch, outbox, lease. ARGV: count, token, the first entry to keep or ''. First removes what is before that; nothing if the lease
-- was lost. Then the history, whether there is an epoch, the last entry ever appended or '', and the first entries.
if ARGV[3] ~= '' then
  if redis.call('GET', KEYS[3]) ~= ARGV[2] then return {} end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[3])
end
local count, last, entries = tonumber(ARGV[1]), '', {}
if count > 0 then entries = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', count) end
if #entries > 0 and #entries < count then
  last = entries[#entries][1]
elseif redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
end
return { history(), number_of(redis.call('GET', KEYS[1])) and 1 or 0, last, entries }
