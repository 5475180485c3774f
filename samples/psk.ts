/**
 * No certificates: client and server share a key. Each client has another key, and the server finds it by the client's
 * identity.
 *
 *     npm run sample -- psk
 *     npm run sample -- psk --port 7443
 *
 * You will see `listening 127.0.0.1:…`, a command to try with `openssl s_client`, and three clients. The server greets
 * the client with its right key. It refuses a client with a wrong key and a client that it does not know. With --port
 * it keeps serving until Ctrl-C.
 */

import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { TlsContext } from 'wantio/tls';

const { values } = parseArgs({ options: { port: { type: 'string' } } });

// Random, and too long to guess. Passwords are not keys.
const keys = new Map([
  ['sensor-1', randomBytes(32)],
  ['sensor-2', randomBytes(32)],
]);
const server = await TlsContext.server({ psk: (identity) => keys.get(identity) });

const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port ?? '0'}`));
listener.on('clientError', (error) => {
  console.log(`  the server: ${error.message}`);
});
listener.serve({ secure: server, timeouts: { totalMs: 60_000 } }, async (connection) => {
  const name = await connection.receive();
  await connection.send(`hello ${name}, this is ${connection.info().cipher} without certificates\n`);
});
const closed = closeOnSignal(reactor);
const [[first, key]] = keys;
console.log(`listening ${formatAddress(listener.address)}`);
console.log(
  `try: openssl s_client -connect ${formatAddress(listener.address)} -psk_identity ${first} -psk ${key.toString('hex')} -quiet`,
);

await visit(first, key);
await visit(first, randomBytes(32));
await visit('sensor-9', randomBytes(32));
if (values.port === undefined) await reactor.close();
await closed;
server.close();

async function visit(identity: string, secret: Uint8Array): Promise<void> {
  const client = await TlsContext.client({ psk: { identity, key: secret } });
  const { port } = listener.address as { port: number };
  console.log(`${identity}:`);
  try {
    const connection = await reactor.connectSecure({
      host: 'localhost',
      port,
      secure: client,
      timeouts: { totalMs: 5_000 },
    });
    await connection.send(`${identity}\n`);
    console.log(`  the server says "${await connection.receive()}"`);
    await connection.close();
  } catch (error) {
    console.log(`  refused: ${(error as Error).message}`);
  }
  client.close();
}
