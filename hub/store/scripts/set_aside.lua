-- Renames a key that holds what no hub wrote, if it still holds that.
--
-- KEYS: 1 the key
-- ARGV: 1 what all keys of the namespace begin with, 2 the type and 3 the text that were found ("" for
--       another type than text)
-- Returns the new name; "" when the key holds something else by now.

local key = KEYS[1]
if redis.call('TYPE', key).ok ~= ARGV[2]
    or ARGV[2] == 'string' and redis.call('GET', key) ~= ARGV[3] then
    return ''
end
return set_aside(ARGV[1], key)
