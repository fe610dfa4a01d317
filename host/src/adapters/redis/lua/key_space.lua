-- A shard's keys. Each is a hash: t its kind (b bytes, c counter, s set, r ranking), e when it expires in milliseconds by the
-- caller's clock ('' for never), v the value of bytes and counters, m<member> for sets, with the score for rankings. A ranking has its
-- order beside it in a sorted set. A step first changes a copy, and writes it only if all went well.

local function is_live(expires, now)
  return expires == '' or tonumber(expires) > now
end

-- Characters of a score that a sorted set, whose scores are doubles, has exactly.
local EXACT = 15

-- Where a member stands in a ranking's sorted set, the highest first: a score and a name. Longer ones may be the same double: their names begin with their digits, which puts them in order.
local function place(score, name)
  local rank = 0 - tonumber(score)
  if #score <= EXACT then return rank, 'm' .. name end
  if score:sub(1, 1) == '-' then
    local digits = score:sub(2)
    return rank, 'b' .. ('0'):rep(19 - #digits) .. digits .. name
  end
  local digits = ('0'):rep(19 - #score) .. score
  return rank, 'a' .. digits:gsub('%d', function(digit) return 9 - tonumber(digit) end) .. name
end

-- A key as the step sees it. `wanted`: members that the step will look at, as fields; read here in one go.
local function open(space, name, wanted)
  local slot = space.slots[name]
  if slot then return slot end
  local key = space.base .. #name .. ':' .. name
  local found = redis.call('HMGET', key, 't', 'e', 'v', unpack(wanted or {}))
  slot = { key = key, name = name, was = found[1], members = {}, before = {}, gained = 0 }
  if found[1] and is_live(found[2], space.now) then
    slot.kind, slot.expires, slot.value, slot.intact = found[1], found[2], found[3], true
    slot.kept_until = found[2]
    for index, field in ipairs(wanted or {}) do
      slot.members[field:sub(2)] = found[index + 3]
      slot.before[field:sub(2)] = found[index + 3]
    end
  end
  space.slots[name] = slot
  space.order[#space.order + 1] = slot
  return slot
end

-- Makes it another value from the ground up; of no kind: gone.
local function replace(slot, kind, value, expires, ttl)
  slot.kind, slot.value, slot.expires, slot.ttl = kind, value, expires, ttl
  slot.intact, slot.members, slot.before, slot.len, slot.gained, slot.dirty = false, {}, {}, 0, 0, true
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
  if before and not value then slot.gained = slot.gained - 1 end
  if value and not before then slot.gained = slot.gained + 1 end
  slot.members[name], slot.dirty = value, true
end

-- How many members it has now. The server is asked once, and only by those steps that depend on it.
local function members_of(slot)
  slot.len = slot.len or (slot.intact and redis.call('HLEN', slot.key) - 2 or 0)
  return slot.len + slot.gained
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

-- One call of the server for many fields or places: the most that one is given.
local AT_ONCE = 1000

local function call_with(command, key, args)
  for first = 1, #args, AT_ONCE do
    redis.call(command, key, unpack(args, first, math.min(first + AT_ONCE - 1, #args)))
  end
end

-- What changes in a ranking's sorted set when a member's score does.
local function move(name, before, value, places, gone)
  local rank, is
  if value then
    rank, is = place(value, name)
    places[#places + 1], places[#places + 2] = rank, is
  end
  -- Both have the same name: its new place takes that of the old one.
  if not before or (value and #before <= EXACT and #value <= EXACT) then return end
  local _, was = place(before, name)
  if was ~= is then gone[#gone + 1] = was end
end

local function write_members(slot, fields)
  local left, places, gone = {}, {}, {}
  for name, value in pairs(slot.members) do
    local before = slot.before[name] or false
    if value ~= before then
      if value then
        fields[#fields + 1], fields[#fields + 2] = 'm' .. name, value
      else
        left[#left + 1] = 'm' .. name
      end
      if slot.kind == 'r' then move(name, before, value, places, gone) end
    end
  end
  call_with('HSET', slot.key, fields)
  call_with('HDEL', slot.key, left)
  -- In this order: a sorted set that loses its last place is gone, and its lifetime with it.
  call_with('ZADD', slot.key .. 'z', places)
  call_with('ZREM', slot.key .. 'z', gone)
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

-- The server keeps a key an hour longer than the step says (`KEPT_MS` of the caller). So nothing has to be said anew while the hour is not
-- half over.
local SAID_EVERY_MS = 1800000

local function is_said(slot, is_new)
  if is_new or not slot.kept_until then return false end
  if slot.expires == '' or slot.kept_until == '' then return slot.expires == slot.kept_until end
  return math.floor(slot.expires / SAID_EVERY_MS) == math.floor(slot.kept_until / SAID_EVERY_MS)
end

local function write_slot(space, slot)
  local is_new = slot.was and not slot.intact and not (slot.value and slot.was == slot.kind)
  if is_new then redis.call('DEL', slot.key, slot.key .. 'z') end
  if not slot.kind then
    redis.call('ZREM', space.base .. 'i', slot.name)
    return
  end
  local fields = { 't', slot.kind, 'e', slot.expires }
  if slot.value then fields[5], fields[6] = 'v', slot.value end
  write_members(slot, fields)
  if slot.ttl and not is_said(slot, is_new) then
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
