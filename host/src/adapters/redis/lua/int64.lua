-- Exact 64-bit integers as decimal strings: Lua's own numbers are doubles, exact only up to 2^53.
-- A number is two limbs of one sign, high * 1e15 + low, each of which a double holds exactly.
local function limbs(a)
  local sign = 1
  if a:sub(1, 1) == '-' then sign, a = -1, a:sub(2) end
  local high = 0
  if #a > 15 then high = tonumber(a:sub(1, -16)) end
  return sign * high, sign * tonumber(a:sub(-15))
end

local function less(a, b)
  if #a <= 15 and #b <= 15 then return tonumber(a) < tonumber(b) end
  local a_high, a_low = limbs(a)
  local b_high, b_low = limbs(b)
  return a_high < b_high or (a_high == b_high and a_low < b_low)
end

local function is_positive(a)
  return a ~= '0' and a:sub(1, 1) ~= '-'
end

-- The sum, or nil if it leaves 64 bits.
local function add(a, b)
  if #a <= 15 and #b <= 15 then return string.format('%.0f', tonumber(a) + tonumber(b)) end
  local a_high, a_low = limbs(a)
  local b_high, b_low = limbs(b)
  local high, low = a_high + b_high, a_low + b_low
  if low >= 1e15 then low, high = low - 1e15, high + 1 elseif low <= -1e15 then low, high = low + 1e15, high - 1 end
  if high > 0 and low < 0 then high, low = high - 1, low + 1e15 elseif high < 0 and low > 0 then high, low = high + 1, low - 1e15 end
  if high > 9223 or (high == 9223 and low > 372036854775807) then return nil end
  if high < -9223 or (high == -9223 and low < -372036854775808) then return nil end
  -- Adding zero takes the sign from a negative zero.
  if high == 0 then return string.format('%.0f', low + 0) end
  return string.format('%.0f%015.0f', high, math.abs(low))
end

-- a - b for b of 0 or more; below 64 bits it is the least number.
local function minus(a, b)
  if b == '0' then return a end
  return add(a, '-' .. b) or '-9223372036854775808'
end
