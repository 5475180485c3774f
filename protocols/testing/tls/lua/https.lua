-- Gets a page with the https module of LuaSec: lua https.lua URL CA-FILE [CERTIFICATE KEY]. Prints the status and the body.

local https = require('ssl.https')
local ltn12 = require('ltn12')

local body = {}
local ok, status = https.request({
  url = arg[1],
  protocol = 'any',
  verify = 'peer',
  cafile = arg[2],
  certificate = arg[3],
  key = arg[4],
  sink = ltn12.sink.table(body),
})
print(ok and status or '! ' .. tostring(status))
io.write(table.concat(body))
