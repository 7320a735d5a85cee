-- Appends a batch of events, all or nothing, if the stored offsets are those that the batch expects.
--
-- KEYS     offsets, events
-- ARGV[1]  JSON: offsets [[field, expected, next]], events [[type, json]], events_cap
-- Returns {} if it was applied, {field, stored offset or ''} if the offsets differ.

local batch = cjson.decode(ARGV[1])
for _, offset in ipairs(batch.offsets) do
    local stored = redis.call('HGET', KEYS[1], offset[1])
    if stored ~= offset[2] then
        return { offset[1], stored or '' }
    end
end
for _, event in ipairs(batch.events) do
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', batch.events_cap, '*', 'type', event[1], 'data', event[2])
end
for _, offset in ipairs(batch.offsets) do
    redis.call('HSET', KEYS[1], offset[1], offset[3])
end
return {}
