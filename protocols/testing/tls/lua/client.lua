-- Connects with LuaSec and executes the commands from its standard input.
-- lua client.lua PORT 'PARAMETERS' [SERVER-NAME]; PARAMETERS is a Lua table for ssl.newcontext. It may also have tlsa,
-- a list of { usage, selector, matching type, hexadecimal data }.

package.path = arg[0]:match('^(.*/)') .. '?.lua;' .. package.path
local socket = require('socket')
local ssl = require('ssl')
local session = require('session')

local parameters = assert(load('return ' .. arg[2]))()
local plain = assert(socket.connect('127.0.0.1', tonumber(arg[1])))
plain:settimeout(0)
local connection = assert(ssl.wrap(plain, assert(ssl.newcontext(parameters))))
connection:settimeout(0)
if arg[3] then connection:sni(arg[3]) end
if parameters.tlsa then
  assert(connection:setdane(arg[3]))
  for _, record in ipairs(parameters.tlsa) do
    local data = record[4]:gsub('%x%x', function(hex) return string.char(tonumber(hex, 16)) end)
    assert(connection:settlsa(record[1], record[2], record[3], data))
  end
end
session.run(connection)
