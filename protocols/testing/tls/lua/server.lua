-- Accepts one connection with LuaSec and executes the commands from its standard input.
-- lua server.lua 'PARAMETERS' ['NAMES' [strict]]; PARAMETERS is a Lua table for ssl.newcontext, NAMES a table that maps
-- each server name to such a table.

package.path = arg[0]:match('^(.*/)') .. '?.lua;' .. package.path
local socket = require('socket')
local ssl = require('ssl')
local session = require('session')

local parameters = assert(load('return ' .. arg[1]))()
local names = arg[2] and assert(load('return ' .. arg[2]))()
local listener = assert(socket.bind('127.0.0.1', 0))
local _, port = listener:getsockname()
session.say('listening ' .. port)
local plain = assert(listener:accept())
listener:close()
plain:settimeout(0)
local connection = assert(ssl.wrap(plain, assert(ssl.newcontext(parameters))))
connection:settimeout(0)
if names then
  local contexts = {}
  for name, each in pairs(names) do contexts[name] = assert(ssl.newcontext(each)) end
  connection:sni(contexts, arg[3] == 'strict')
end
session.run(connection)
