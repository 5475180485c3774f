/**
 * One server, many names: a certificate for each name that a client may ask for (SNI), and who chooses when the name is
 * in no list.
 *
 *     npm run sample -- sni --port 7443
 *     openssl s_client -connect 127.0.0.1:7443 -servername shop.example.test -quiet
 *
 * You will see `listening 127.0.0.1:7443`, and in s_client which name was asked for and whose certificate was shown.
 * Try `example.test`, `shop.example.test` (by the wildcard), `red.test` and `blue.test` (chosen when they are asked
 * for, which takes a moment), and any other name, which gets the certificate of localhost. Without --port the system
 * chooses one.
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const contexts: TlsContext[] = [];

async function contextFor(name: string): Promise<TlsContext> {
  const { certificate, key } = selfSigned({ names: [name] });
  const context = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
  contexts.push(context);
  return context;
}

const reactor = new Reactor();

/** Those whose certificates are kept elsewhere. Each is fetched once; nobody can make this grow by inventing names. */
const customers = new Map<string, Promise<TlsContext> | undefined>([
  ['red.test', undefined],
  ['blue.test', undefined],
]);

async function fetched(name: string): Promise<TlsContext> {
  console.log(`looking for the certificate of ${name}`);
  await reactor.select({}, 50); // As long as a database takes. The handshake waits (want `lookup`), and nobody else does.
  return contextFor(name);
}

const { certificate, key } = selfSigned({ names: ['localhost'] });
const context = await TlsContext.server({
  certificate: { pem: certificate },
  key: { pem: key },
  serverNames: {
    'example.test': await contextFor('example.test'),
    '*.example.test': await contextFor('*.example.test'),
  },
  chooseContext: ({ serverName }) => {
    if (serverName === undefined || !customers.has(serverName)) return undefined;
    const chosen = customers.get(serverName) ?? fetched(serverName);
    customers.set(serverName, chosen);
    chosen.catch(() => customers.set(serverName, undefined)); // The next one who asks makes another attempt.
    return chosen;
  },
});
contexts.push(context);

const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
listener.serve({ secure: context, timeouts: { totalMs: 10_000 } }, async (connection) => {
  const shown = connection
    .localCertificate()
    ?.extensions()
    .flatMap(({ subjectAltName }) => subjectAltName?.dNSName ?? []);
  await connection.send(
    `asked for ${connection.info().serverName ?? 'nobody'}, shown ${shown?.join(', ') ?? 'nothing'}\n`,
  );
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);
console.log(`try: openssl s_client -connect ${formatAddress(listener.address)} -servername shop.example.test -quiet`);

await closed;
for (const each of contexts) each.close();
