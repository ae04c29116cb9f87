-- Reads a piece of the log after a known entry, if it is still the log with that entry.
--
-- KEYS: 1 the log's name, 2 the log
-- ARGV: 1 the log's name, 2 the known entry's revision, 3 its key ("": not known),
--       4 the last revision that is wanted, "+" for all, 5 how many entries at most
-- Returns "fenced" when it is another log or has another history; otherwise the entries, oldest
-- first, each {id, fields}.

local log, known = KEYS[2], tonumber(ARGV[2])

local problem = misfit(KEYS[1], 'string') or misfit(log, 'stream')
if problem then
    return problem
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 'fenced'
end
local before = key_at(log, ARGV[2])
if before then
    if is_another(before, ARGV[3]) then
        return 'fenced'
    end
else
    -- The entry was trimmed, or the log began after it; or the log has not reached it.
    local reached = last_revision(log)
    if not reached or reached < known then
        return 'fenced'
    end
end
if ARGV[4] ~= '+' and tonumber(ARGV[4]) <= known then
    return {}
end
return redis.call('XRANGE', log, digits(known + 1), ARGV[4], 'COUNT', ARGV[5])
