-- KEYS: epoch. Its number, or 0.
return number_of(redis.call('GET', KEYS[1])) or 0
