-- Accepts one connection after the other with LuaSec, as LuaSec's sample "loop" does, and sends a line over each.
-- lua loop.lua 'PARAMETERS'; PARAMETERS is a Lua table for ssl.newcontext. With `verify` OpenSSL needs a session id
-- context, which LuaSec cannot set: then it answers every client that offers a session with the alert 80.

local socket = require('socket')
local ssl = require('ssl')

local context = assert(ssl.newcontext(assert(load('return ' .. arg[1]))()))
local listener = assert(socket.bind('127.0.0.1', 0))
local _, port = listener:getsockname()
print('listening ' .. port)
io.stdout:flush()
while true do
  local connection = assert(ssl.wrap(assert(listener:accept()), context))
  if connection:dohandshake() then connection:send('loop test\n') end
  connection:close()
end
