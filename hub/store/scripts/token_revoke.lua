-- Revokes a token for good.
--
-- KEYS: 1 the tokens
-- ARGV: 1 its id, 2 the time, 3 a new random end of the revision, which every hub polls
-- Returns 1, also when it was revoked before; 0 when there is no such token.

local tokens, id = KEYS[1], ARGV[1]

if not redis.call('HGET', tokens, id) then
    return 0
end
if not redis.call('HGET', tokens, id .. ':revoked') then
    redis.call('HSET', tokens, id .. ':revoked', ARGV[2])
    local revision = redis.call('HGET', tokens, ':revision') or ''
    local lineage = string.match(revision, '^(%w*)') or ''
    redis.call('HSET', tokens, ':revision', lineage .. '.' .. ARGV[3])
end
return 1
