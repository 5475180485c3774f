/**
 * Operations style: await each line and each send; TLS, timeouts and closing are handled for you.
 *
 *     npm run sample -- tls-echo --port 7443
 *     openssl s_client -connect 127.0.0.1:7443 -quiet
 *
 * You will see `listening 127.0.0.1:7443`, and each line that you type into s_client comes back. The server creates its
 * certificate when it starts; --certificate FILE and --key FILE (PEM) use another one.
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, certificate: { type: 'string' }, key: { type: 'string' } },
});
if ((values.certificate === undefined) !== (values.key === undefined))
  throw new RangeError('--certificate and --key go together');
const made = selfSigned();
const context = await TlsContext.server({
  certificate: values.certificate === undefined ? { pem: made.certificate } : { file: values.certificate },
  key: values.key === undefined ? { pem: made.key } : { file: values.key },
});

const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
listener.on('clientError', (error, client) => {
  console.error(`${formatAddress(client.remoteAddress)}: ${error.message}`);
});
listener.serve({ secure: context, timeouts: { blockMs: 60_000 } }, async (connection, { signal }) => {
  for await (const line of connection.lines({ maxBytes: 4096, signal })) await connection.send(`${line}\n`);
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

await closed;
context.close();
