-- Reads what is stored of agents, and how long it still lasts.
--
-- KEYS: 1… the entries
-- Returns for each two: the text, and its time to live in ms (-1: it has none); nothing and -2
-- when there is no text.

local answer = {}
for i = 1, #KEYS do
    local value = text_at(KEYS[i])
    answer[2 * i - 1] = value or false
    answer[2 * i] = value and redis.call('PTTL', KEYS[i]) or -2
end
return answer
