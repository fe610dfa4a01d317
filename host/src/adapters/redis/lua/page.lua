-- KEYS: epoch, outbox. ARGV: from, count. The history, whether there is an epoch, the last entry ever appended or '', and entries.
local last, entries = '', {}
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
  entries = redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])
end
return { history(), number_of(redis.call('GET', KEYS[1])) and 1 or 0, last, entries }
