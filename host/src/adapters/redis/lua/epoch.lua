-- Which history of data this server writes. A replica that is promoted begins another one, and so does a server that starts as a master:
-- what they have of an epoch came with a copy, which may lack what was done after it.
local function history()
  return redis.call('INFO', 'replication'):match('master_replid:(%x+)') or ''
end

-- The number of an epoch as it is kept; none if there is none, or if it was set in another history.
local function number_of(epoch)
  local number, of = string.match(epoch or '', '^(%d+)@(%x+)$')
  if of and of == history() then return number end
end
