-- Reads the stored entries of agents, and their times to live.
--
-- KEYS: 1… the entries
-- Returns two values for each: the text, and its time to live in ms (-1: it has none); false and -2
-- when there is no text.

local answer = {}
for i = 1, #KEYS do
    local value = text_at(KEYS[i])
    answer[2 * i - 1] = value or false
    answer[2 * i] = value and redis.call('PTTL', KEYS[i]) or -2
end
return answer
