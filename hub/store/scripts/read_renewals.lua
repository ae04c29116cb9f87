-- Reads a piece of the renewals that hubs have announced.
--
-- KEYS: 1 the renewals
-- ARGV: 1 the id of the last announcement that is known ("": none), 2 the hub that asks, whose own
--       announcements are left out, 3 how many at most
-- Returns {the id of the last one that was read, "1" when there may be more, and three values for
-- each: its age in ms, its text, a line `id last_seen` for each entry, and their loads, a line for
-- each, empty for none; or no text when none has one}. Ages are returned and not times, so that
-- hubs need not compare their clocks.

local stream, known, own, at_most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

local problem = misfit(stream, 'stream')
if problem then
    return problem
end
local found = redis.call('XRANGE', stream, known == '' and '-' or '(' .. known, '+',
    'COUNT', at_most)
if #found == 0 and known ~= '' then
    -- Nothing new; or the stream was created again by a server whose clock is behind.
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if not last then
        known = ''
    elseif last[1] ~= known then
        found = redis.call('XRANGE', stream, '-', '+', 'COUNT', at_most)
    end
end
local now = milliseconds()
local answer = {known, #found >= at_most and '1' or '0'}
for _, entry in ipairs(found) do
    local id, hub, text = entry[1], entry[2][1], entry[2][2]
    answer[1] = id
    if hub ~= own then
        answer[#answer + 1] = math.max(0, now - tonumber(string.match(id, '^%d+')))
        answer[#answer + 1] = text
        answer[#answer + 1] = entry[2][4] or ''
    end
end
return answer
