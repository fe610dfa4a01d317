-- KEYS: epoch, outbox, base of the shard
-- ARGV: now, bound of the outbox, key of the try or '', key of once or '', its expiry, its ttl,
--       number of checks, of writes, then for each check: key, 1 or 0 for there, bytes;
--       for each write: kind, key, member or value or delta, delta or score or max, expires, ttl; then the events
local try, once = ARGV[3], ARGV[4]
-- A client that got no answer asks again by itself; a try is made once.
if try ~= '' then
  local answer = redis.call('GET', try)
  if answer then return cjson.decode(answer) end
end
local now = tonumber(ARGV[1])
if once ~= '' then
  local used = redis.call('GET', once)
  if used then
    local expires, entry = used:match('^(%d+)|(.*)$')
    if tonumber(expires) > now then return { 'repeated', entry } end
  end
end
if not number_of(redis.call('GET', KEYS[1])) then return { 'recovering' } end

local space = { base = KEYS[3], now = now, slots = {}, order = {} }
local at = 9
for index = 0, tonumber(ARGV[7]) - 1 do
  local slot = open(space, ARGV[at])
  if slot.kind and slot.kind ~= 'b' then return { 'kind', ARGV[at] } end
  local there = slot.kind and '1' or '0'
  if there ~= ARGV[at + 1] or (slot.kind and slot.value ~= ARGV[at + 2]) then return { 'check', index } end
  at = at + 3
end

local function change_member(slot, kind, name, value, expires, ttl)
  if not slot.kind then replace(slot, kind, nil, expires, ttl) end
  set_member(slot, name, value)
  slot.expires, slot.ttl = expires, ttl
end

local writes = {}
function writes.put(slot, _, value, _, expires, ttl) replace(slot, 'b', value, expires, ttl) return '0' end
function writes.delete(slot) replace(slot) return '0' end
function writes.add(_, name, delta, max, expires, ttl) return count(space, name, delta, max, expires, ttl) end
function writes.set_add(slot, _, name)
  if slot.kind and slot.kind ~= 's' then return nil, 'kind' end
  if slot.kind and member(slot, name) then return '0' end
  change_member(slot, 's', name, '', '', '')
  return '1'
end
function writes.set_remove(slot, _, name)
  if slot.kind and slot.kind ~= 's' then return nil, 'kind' end
  if not slot.kind or not member(slot, name) then return '0' end
  set_member(slot, name, false)
  if members_of(slot) == 0 then replace(slot) end
  return '1'
end
function writes.rank_add(slot, _, name, delta, expires, ttl)
  if slot.kind and slot.kind ~= 'r' then return nil, 'kind' end
  local score = add(slot.kind and member(slot, name) or '0', delta)
  if not score then return nil, 'limit' end
  change_member(slot, 'r', name, score, expires, ttl)
  return score
end
function writes.rank_enter(slot, _, name, max, expires, ttl)
  if slot.kind and slot.kind ~= 'r' then return nil, 'kind' end
  local number = slot.kind and member(slot, name)
  if number then return number end
  local entered = slot.kind and members_of(slot) or 0
  if max ~= '' and entered >= tonumber(max) then return nil, 'limit' end
  number = tostring(entered + 1)
  change_member(slot, 'r', name, number, expires, ttl)
  return number
end
function writes.rank_set(slot, _, name, score)
  if slot.kind and slot.kind ~= 'r' then return nil, 'kind' end
  change_member(slot, 'r', name, score, '', '')
  return score
end
function writes.rank_remove(slot, _, name)
  if slot.kind and slot.kind ~= 'r' then return nil, 'kind' end
  if not slot.kind or not member(slot, name) then return '0' end
  set_member(slot, name, false)
  if members_of(slot) == 0 then replace(slot) end
  return '0'
end

-- The kinds of writes that name a member.
local WITH_MEMBERS = {
  set_add = true, set_remove = true, rank_add = true, rank_enter = true, rank_set = true, rank_remove = true,
}

-- The members that the writes name, for each key: they are read in one go. Of very many the rest is read one by one.
local function members_named(first)
  local named = {}
  for index = 0, tonumber(ARGV[8]) - 1 do
    local kind, name, member = ARGV[first + 6 * index], ARGV[first + 6 * index + 1], ARGV[first + 6 * index + 2]
    if WITH_MEMBERS[kind] then
      local fields = named[name] or {}
      named[name] = fields
      if #fields < AT_ONCE then fields[#fields + 1] = 'm' .. member end
    end
  end
  return named
end

local answer, named = { 'applied' }, members_named(at)
for index = 0, tonumber(ARGV[8]) - 1 do
  local name = ARGV[at + 1]
  local slot = open(space, name, named[name])
  local number, why = writes[ARGV[at]](slot, name, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
  if not number then return { why, name, index } end
  answer[#answer + 1] = number
  at = at + 6
end

local events = #ARGV - at + 1
if events > 0 and redis.call('XLEN', KEYS[2]) + events > tonumber(ARGV[2]) then return { 'full' } end
write_space(space)
local entry = ''
for event = at, #ARGV do entry = redis.call('XADD', KEYS[2], '*', 'b', ARGV[event]) end
table.insert(answer, 2, entry)
if once ~= '' then redis.call('SET', once, ARGV[5] .. '|' .. entry, 'PX', ARGV[6]) end
if try ~= '' then redis.call('SET', try, cjson.encode(answer), 'PX', 60000) end
return answer
