-- A LuaSec connection that never blocks: it tries each operation, and waits with socket.select for what the operation
-- wants. Each line of the input is a command with its argument. The answer is a line that begins with "= ", or with "!
-- " for a failure. Each wait prints a line before it, such as "send wants write".

local socket = require('socket')

local session = {}

io.stdout:setvbuf('line')

function session.say(text)
  print(text)
end

-- Waits for what `reason` wants. Returns false when `reason` is not a want.
local function wait(connection, operation, reason)
  if reason == 'wantread' then
    session.say(operation .. ' wants read')
    socket.select({ connection }, nil)
  elseif reason == 'wantwrite' then
    session.say(operation .. ' wants write')
    socket.select(nil, { connection })
  else
    return false
  end
  return true
end

local function handshake(connection)
  while true do
    local done, reason = connection:dohandshake()
    if done then return 'done' end
    if not wait(connection, 'handshake', reason) then return nil, reason end
  end
end

-- After a partial send, continues with the first byte that was not sent.
local function send(connection, data)
  local first = 1
  while true do
    local last, reason, partial = connection:send(data, first)
    if last then return last end
    if not wait(connection, 'send', reason) then return nil, reason end
    first = partial + 1
  end
end

-- Passes the bytes received so far as the prefix of the next try.
local function receive(connection, pattern, prefix)
  while true do
    local data, reason, partial = connection:receive(pattern, prefix)
    if data then return data end
    if not wait(connection, 'receive', reason) then return nil, reason end
    prefix = partial
  end
end

local function hex(bytes)
  return bytes and (bytes:gsub('.', function(byte) return ('%02x'):format(byte:byte()) end))
end

-- LuaSec returns whole numbers as floats.
local function text(value)
  return type(value) == 'number' and ('%d'):format(value) or tostring(value)
end

-- Fields as name=value, sorted by name.
local function fields(of)
  local names = {}
  for name in pairs(of) do names[#names + 1] = name end
  table.sort(names)
  for index, name in ipairs(names) do names[index] = name .. '=' .. text(of[name]) end
  return table.concat(names, ' ')
end

local commands = {
  handshake = handshake,
  send = function(connection, text) return send(connection, text .. '\n') end,
  -- Sends this many bytes: the letters of the alphabet again and again.
  flood = function(connection, length)
    return send(connection, (('abcdefghijklmnopqrstuvwxyz'):rep(length // 26 + 1)):sub(1, length))
  end,
  line = function(connection, prefix) return receive(connection, '*l', prefix) end,
  bytes = function(connection, length) return receive(connection, tonumber(length)) end,
  count = function(connection, length)
    local data, reason = receive(connection, tonumber(length))
    return data and #data, reason
  end,
  all = function(connection) return receive(connection, '*a') end,
  info = function(connection) return fields(connection:info()) end,
  finished = function(connection) return hex(connection:getfinished()) .. ' ' .. hex(connection:getpeerfinished()) end,
  digest = function(connection)
    local certificate = connection:getpeercertificate()
    return certificate and certificate:digest('sha256') or 'none'
  end,
  chain = function(connection) return #connection:getpeerchain() end,
  verification = function(connection)
    local ok, faults = connection:getpeerverification()
    return tostring(ok) .. (faults and ' ' .. fields(faults) or '')
  end,
  alpn = function(connection) return connection:getalpn() or 'none' end,
  name = function(connection) return connection:getsniname() or 'none' end,
  material = function(connection, label) return hex(connection:exportkeyingmaterial(label, 40)) end,
  statistics = function(connection)
    local received, sent = connection:getstats()
    return received .. ' ' .. sent
  end,
  close = function(connection)
    connection:close()
    return 'closed'
  end,
}

function session.run(connection)
  for line in io.lines() do
    local name, argument = line:match('^(%S+) ?(.*)$')
    local result, reason = commands[name](connection, argument)
    session.say(result and '= ' .. text(result) or '! ' .. tostring(reason))
  end
end

return session
