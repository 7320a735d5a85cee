-- Applies one batch to the views, all or nothing, if the stored offsets are those that the batch expects.
--
-- ARGV[1]  key prefix
-- ARGV[2]  JSON: offsets [[field, expected, next]], rows (below), now, leaderboard_ms, windows_cap, alerts_cap, stream_cap
--   ["trend", asset, start, end, revision, posts, json]    times in milliseconds, as text
--   ["alert", alert_id, raised_at, json]
--   ["post", json]
-- Returns {} if it was applied, {field, stored offset or ''} if the offsets differ.

local prefix, batch = ARGV[1], cjson.decode(ARGV[2])
local offsets_key = prefix .. 'offsets'

for _, offset in ipairs(batch.offsets) do
    local stored = redis.call('HGET', offsets_key, offset[1])
    if stored ~= offset[2] then
        return { offset[1], stored or '' }
    end
end

local function publish(kind, json)
    redis.call('XADD', prefix .. 'stream', 'MAXLEN', '~', batch.stream_cap, '*', 'type', kind, 'data', json)
end

local buckets_key, meta_key = prefix .. 'leaderboard:buckets', prefix .. 'leaderboard:meta'
local stream_time = tonumber(redis.call('HGET', meta_key, 'to') or '0')
local windows_changed = false

-- A window's posts, by asset: the leaderboard is the union of the buckets of the last hour.
local function put_bucket(start, finish, asset, posts)
    if tonumber(finish) <= batch.now + 3600000 then
        stream_time = math.max(stream_time, tonumber(finish))
    end
    if tonumber(start) >= stream_time - batch.leaderboard_ms then
        redis.call('ZADD', prefix .. 'leaderboard:bucket:' .. start, posts, asset)
        redis.call('ZADD', buckets_key, start, start)
    end
    windows_changed = true
end

local function put_window(asset, start, finish, revision, posts, json)
    local key = prefix .. 'windows:' .. asset
    local present = redis.call('ZRANGEBYSCORE', key, start, start)[1]
    if present then
        if cjson.decode(present).revision >= revision then
            return
        end
        redis.call('ZREMRANGEBYSCORE', key, start, start)
    end
    redis.call('ZADD', key, start, json)
    redis.call('ZREMRANGEBYRANK', key, 0, -batch.windows_cap - 1)
    put_bucket(start, finish, asset, posts)
    publish('trend', json)
end

local function put_alert(id, raised_at, json)
    if redis.call('HSETNX', prefix .. 'alerts:data', id, json) == 0 then
        return
    end
    redis.call('ZADD', prefix .. 'alerts', raised_at, id)
    for _, old in ipairs(redis.call('ZRANGE', prefix .. 'alerts', 0, -batch.alerts_cap - 1)) do
        redis.call('ZREM', prefix .. 'alerts', old)
        redis.call('HDEL', prefix .. 'alerts:data', old)
    end
    publish('alert', json)
end

for _, row in ipairs(batch.rows) do
    if row[1] == 'trend' then
        put_window(row[2], row[3], row[4], row[5], row[6], row[7])
    elseif row[1] == 'alert' then
        put_alert(row[2], row[3], row[4])
    else
        publish('post', row[2])
    end
end

if windows_changed then
    local from = stream_time - batch.leaderboard_ms
    for _, start in ipairs(redis.call('ZRANGEBYSCORE', buckets_key, '-inf', '(' .. string.format('%.0f', from))) do
        redis.call('DEL', prefix .. 'leaderboard:bucket:' .. start)
        redis.call('ZREM', buckets_key, start)
    end
    local keys = {}
    -- A window that lies in the future is kept for later, and not counted yet.
    local last = '(' .. string.format('%.0f', stream_time)
    for _, start in ipairs(redis.call('ZRANGEBYSCORE', buckets_key, '-inf', last)) do
        keys[#keys + 1] = prefix .. 'leaderboard:bucket:' .. start
    end
    local board = prefix .. 'leaderboard'
    redis.call('DEL', board)
    if #keys > 0 then
        redis.call('ZUNIONSTORE', board, #keys, unpack(keys))
    end
    local all = redis.call('ZSCORE', board, '*') or '0'
    redis.call('ZREM', board, '*')
    redis.call('HSET', meta_key, 'from', string.format('%.0f', from), 'to', string.format('%.0f', stream_time), 'posts', all)
end

for _, offset in ipairs(batch.offsets) do
    redis.call('HSET', offsets_key, offset[1], offset[3])
end
return {}
