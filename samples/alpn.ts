/**
 * One port, several protocols: the handshake selects one of them (ALPN), and each has its own handler.
 *
 *     npm run sample -- alpn --port 7443
 *     openssl s_client -connect 127.0.0.1:7443 -alpn shout,echo -quiet
 *
 * You will see `listening 127.0.0.1:7443` and the protocol of each connection. In s_client each line comes back in
 * upper case, because the server prefers `shout`. With `-alpn echo` it comes back unchanged, as it does for a client
 * that offers no protocol. A client that offers only unknown protocols is refused with an alert. Without --port the
 * system chooses one.
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });

/** The answer of each protocol to a line, in the server's order of preference. */
const protocols = new Map<string, (line: string) => string>([
  ['shout', (line) => line.toUpperCase()],
  ['whisper', (line) => line.toLowerCase()],
  ['echo', (line) => line],
]);

const { certificate, key } = selfSigned();
const context = await TlsContext.server({
  certificate: { pem: certificate },
  key: { pem: key },
  alpn: [...protocols.keys()],
});

const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
listener.on('clientError', (error) => {
  console.error(error.message);
});
listener.serve({ secure: context, timeouts: { blockMs: 60_000 } }, async (connection, { signal }) => {
  const { alpn } = connection.info();
  console.log(alpn === undefined ? 'a client that offers nothing' : `agreed on ${alpn}`);
  const answer = protocols.get(alpn ?? 'echo');
  if (answer === undefined) return; // Impossible: the negotiated protocol is in the list.
  for await (const line of connection.lines({ maxBytes: 4096, signal })) await connection.send(`${answer(line)}\n`);
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

await closed;
context.close();
