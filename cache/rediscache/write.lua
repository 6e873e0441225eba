-- KEYS are the keys of the changes. ARGV[1] is the time of the client, or empty if an entry that
-- has expired counts like any other. Then follow, for each key, the new entry and its life in
-- milliseconds, 0 to remove the key. An entry begins with fetched and expires.

-- later compares octets. The operators of Lua use the collation of the server, and its numbers
-- have 53 bits.
local function later(a, b)
	for i = 1, 8 do
		local x, y = a:byte(i), b:byte(i)
		if x ~= y then
			return x > y
		end
	end
	return false
end

local now = ARGV[1]
for i, key in ipairs(KEYS) do
	local entry, life = ARGV[2 * i], ARGV[2 * i + 1]
	local held = redis.pcall('GETRANGE', key, 0, 15)
	if type(held) == 'table' then
		if held.err:sub(1, 9) ~= 'WRONGTYPE' then
			return held
		end
		held = '' -- somebody has put something else there, such as a list
	end
	-- An entry that has expired by the client's clock counts as absent.
	local stays = #held == 16 and later(held, entry) and not (now ~= '' and later(now, held:sub(9)))
	if stays then
		-- nothing
	elseif life == '0' then
		redis.call('DEL', key)
	else
		redis.call('SET', key, entry, 'PX', life)
	end
end
return #KEYS
