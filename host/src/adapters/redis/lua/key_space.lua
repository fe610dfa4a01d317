-- A shard's keys. Each is a hash: t its kind (b bytes, c counter, s set, r ranking), e when it expires in milliseconds by the
-- caller's clock ('' for never), v the value of bytes and counters, m<member> for sets, with the score for rankings. A ranking has its
-- order beside it in a sorted set. A step first changes a copy, and writes it only if all went well.

local function is_live(expires, now)
  return expires == '' or tonumber(expires) > now
end

-- Where a member stands in a ranking's sorted set, the highest first: a score and a name. Scores of sorted sets are doubles, exact for 15
-- digits. Longer ones may be the same double: their names begin with their digits, which puts them in order.
local function place(score, name)
  local rank = 0 - tonumber(score)
  if #score <= 15 then return rank, 'm' .. name end
  if score:sub(1, 1) == '-' then
    local digits = score:sub(2)
    return rank, 'b' .. ('0'):rep(19 - #digits) .. digits .. name
  end
  local digits = ('0'):rep(19 - #score) .. score
  return rank, 'a' .. digits:gsub('%d', function(digit) return 9 - tonumber(digit) end) .. name
end

local function open(space, name)
  local slot = space.slots[name]
  if slot then return slot end
  local key = space.base .. #name .. ':' .. name
  local found = redis.call('HMGET', key, 't', 'e', 'v')
  slot = { key = key, name = name, was = found[1], members = {}, before = {}, count = 0 }
  if found[1] and is_live(found[2], space.now) then
    slot.kind, slot.expires, slot.value, slot.intact = found[1], found[2], found[3], true
    if slot.kind == 's' or slot.kind == 'r' then slot.count = redis.call('HLEN', key) - 2 end
  end
  space.slots[name] = slot
  space.order[#space.order + 1] = slot
  return slot
end

-- Makes it another value from the ground up; of no kind: gone.
local function replace(slot, kind, value, expires, ttl)
  slot.kind, slot.value, slot.expires, slot.ttl = kind, value, expires, ttl
  slot.intact, slot.members, slot.before, slot.count, slot.dirty = false, {}, {}, 0, true
end

local function member(slot, name)
  if slot.members[name] == nil then
    slot.members[name] = slot.intact and redis.call('HGET', slot.key, 'm' .. name) or false
    slot.before[name] = slot.members[name]
  end
  return slot.members[name]
end

local function set_member(slot, name, value)
  local before = member(slot, name)
  if before and not value then slot.count = slot.count - 1 end
  if value and not before then slot.count = slot.count + 1 end
  slot.members[name], slot.dirty = value, true
end

-- The counter's new value; or nil and why not.
local function count(space, name, delta, max, expires, ttl)
  local slot = open(space, name)
  if slot.kind and slot.kind ~= 'c' then return nil, 'kind' end
  local value = add(slot.kind and slot.value or '0', delta)
  if not value or (max ~= '' and is_positive(delta) and less(max, value)) then return nil, 'limit' end
  replace(slot, 'c', value, expires, ttl)
  return value
end

local function write_place(slot, name, before, value)
  local was = before and select(2, place(before, name))
  if not value then return redis.call('ZREM', slot.key .. 'z', was) end
  local rank, is = place(value, name)
  if was and was ~= is then redis.call('ZREM', slot.key .. 'z', was) end
  redis.call('ZADD', slot.key .. 'z', rank, is)
end

local function write_members(slot)
  for name, value in pairs(slot.members) do
    local before = slot.before[name] or false
    if value ~= before then
      if value then redis.call('HSET', slot.key, 'm' .. name, value) else redis.call('HDEL', slot.key, 'm' .. name) end
      if slot.kind == 'r' then write_place(slot, name, before, value) end
    end
  end
end

local function set_ttl(key, ttl)
  if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end

-- The listing of a shard lives as long as its longest-lived key. Each new key looks at two others, so that what the server has
-- expired makes up no more than about half of a listing that stays.
local function list(space, slot)
  local index = space.base .. 'i'
  -- What the server still has is listed, and the listing lives at least as long.
  local is_new = not slot.was and redis.call('EXISTS', index) == 0
  if not slot.was and redis.call('ZADD', index, 0, slot.name) == 1 and not is_new then
    for _, name in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
      if name ~= slot.name and not space.slots[name] and redis.call('EXISTS', space.base .. #name .. ':' .. name) == 0 then
        redis.call('ZREM', index, name)
      end
    end
  end
  if slot.ttl == '' then redis.call('PERSIST', index)
  elseif is_new then redis.call('PEXPIRE', index, slot.ttl)
  else redis.call('PEXPIRE', index, slot.ttl, 'GT') end
end

local function write_slot(space, slot)
  local is_kept = slot.kind and (slot.kind == 'b' or slot.kind == 'c' or slot.count > 0)
  if slot.was and not slot.intact and not (is_kept and slot.value and slot.was == slot.kind) then
    redis.call('DEL', slot.key, slot.key .. 'z')
  end
  if not is_kept then
    redis.call('ZREM', space.base .. 'i', slot.name)
    return
  end
  if slot.value then
    redis.call('HSET', slot.key, 't', slot.kind, 'e', slot.expires, 'v', slot.value)
  else
    redis.call('HSET', slot.key, 't', slot.kind, 'e', slot.expires)
  end
  write_members(slot)
  if slot.ttl then
    set_ttl(slot.key, slot.ttl)
    if slot.kind == 'r' then set_ttl(slot.key .. 'z', slot.ttl) end
    list(space, slot)
  end
end

local function write_space(space)
  for _, slot in ipairs(space.order) do
    if slot.dirty then write_slot(space, slot) end
  end
end
