/**
 * One server, many names: a certificate for each name that a client may ask for (SNI), and a callback that chooses the
 * certificate for names that are not in the list.
 *
 *     npm run sample -- sni --port 7443
 *     openssl s_client -connect 127.0.0.1:7443 -servername shop.example.test -quiet
 *
 * You will see `listening 127.0.0.1:7443`, and in s_client the requested name and the name of the presented
 * certificate. Try `example.test`, `shop.example.test` (matches the wildcard), `red.test` and `blue.test` (fetched on
 * request, which takes a moment), and any other name: it gets the certificate of localhost.
 *
 * Without --port the system chooses one.
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

/**
 * Customers whose certificates are fetched from elsewhere, once each. Clients cannot make this map grow with invented
 * names.
 */
const customers = new Map<string, Promise<TlsContext> | undefined>([
  ['red.test', undefined],
  ['blue.test', undefined],
]);

async function fetched(name: string): Promise<TlsContext> {
  console.log(`looking for the certificate of ${name}`);
  await reactor.select({}, 50); // As long as a database takes. Only this handshake waits (want `lookup`).
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
    chosen.catch(() => customers.set(serverName, undefined)); // Let the next client try again.
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
    `asked for ${connection.info().serverName ?? 'no name'}, shown ${shown?.join(', ') ?? 'nothing'}\n`,
  );
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);
console.log(`try: openssl s_client -connect ${formatAddress(listener.address)} -servername shop.example.test -quiet`);

await closed;
for (const each of contexts) each.close();
