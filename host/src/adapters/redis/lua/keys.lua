-- KEYS: base of the shard. ARGV: where to begin, limit, now. Names in order.
local index, now = KEYS[1] .. 'i', tonumber(ARGV[3])
local found, from, limit = {}, ARGV[1], tonumber(ARGV[2])
while #found < limit do
  local page = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, limit)
  if #page == 0 then break end
  for _, name in ipairs(page) do
    local slot = redis.call('HMGET', KEYS[1] .. #name .. ':' .. name, 't', 'e')
    if slot[1] and is_live(slot[2], now) and #found < limit then found[#found + 1] = name end
  end
  from = '(' .. page[#page]
end
return found
