-- KEYS: marker, outbox, then what steps have left. The first entry that waits or '', then for each whether it is still there.
-- The marker is written after all of it: a replica that has the marker has what is there.
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
local found = { first[1] and first[1][1] or '' }
for at = 3, #KEYS do found[#found + 1] = redis.call('EXISTS', KEYS[at]) end
redis.call('SET', KEYS[1], '', 'PX', 60000)
return found
