-- Tries every command that the scripts and the store use, to learn which the Redis user may not run.
--
-- KEYS: 1 a key of the namespace that nobody uses; it is removed again
-- ARGV: 1… keys of every kind that hubs use, which are only looked for
-- Returns the commands that are not allowed, those that the server does not know, and the keys that
-- are not allowed, each as one text with a space in between; and the user, if the server names it.

local key = KEYS[1]
local denied, unknown, closed, user = {}, {}, {}, ''

local function try(name, ...)
    local answer = redis.pcall(...)
    if type(answer) ~= 'table' or not answer.err then
        return
    end
    -- `tostring`, because the server in memory has no Lua string there.
    user = string.match(tostring(answer.err), 'User (%S+) has') or user
    local text = string.lower(tostring(answer.err))
    if string.find(text, 'unknown', 1, true) and string.find(text, 'command', 1, true) then
        unknown[#unknown + 1] = name
    elseif string.find(text, 'permissions to run', 1, true)
        or string.find(text, "can't run this command", 1, true) then
        if name ~= 'key' then
            denied[#denied + 1] = name
        end
    elseif string.find(text, 'permissions to access', 1, true)
        or string.find(text, "can't access", 1, true) then
        closed[#closed + 1] = name == 'key' and select(2, ...) or key
    end
end

for _, name in ipairs(ARGV) do
    try('key', 'EXISTS', name)
end
try('set', 'SET', key, 'x', 'PX', 10000)
try('get', 'GET', key)
try('getrange', 'GETRANGE', key, 0, 0)
try('mget', 'MGET', key)
try('exists', 'EXISTS', key)
try('type', 'TYPE', key)
try('rename', 'RENAME', key, key)
try('pttl', 'PTTL', key)
try('persist', 'PERSIST', key)
try('pexpire', 'PEXPIRE', key, 10000)
try('del', 'DEL', key)
try('hset', 'HSET', key, 'f', 'x')
try('hget', 'HGET', key, 'f')
try('hmget', 'HMGET', key, 'f')
try('hlen', 'HLEN', key)
try('hscan', 'HSCAN', key, 0)
try('hdel', 'HDEL', key, 'f')
redis.pcall('PEXPIRE', key, 10000)
redis.pcall('DEL', key)
try('sadd', 'SADD', key, 'x')
try('smembers', 'SMEMBERS', key)
try('sismember', 'SISMEMBER', key, 'x')
try('sscan', 'SSCAN', key, 0)
try('srem', 'SREM', key, 'x')
try('xadd', 'XADD', key, '1-1', 'f', 'x')
redis.pcall('PEXPIRE', key, 10000)
try('xinfo|stream', 'XINFO', 'STREAM', key)
try('xrange', 'XRANGE', key, '-', '+', 'COUNT', 1)
try('xrevrange', 'XREVRANGE', key, '+', '-', 'COUNT', 1)
try('xread', 'XREAD', 'COUNT', 1, 'STREAMS', key, '0')
try('xtrim', 'XTRIM', key, 'MAXLEN', 1)
try('xdel', 'XDEL', key, '1-1')
try('unlink', 'UNLINK', key)
try('time', 'TIME')
return {table.concat(denied, ' '), table.concat(unknown, ' '), table.concat(closed, ' '), user}
