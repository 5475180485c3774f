/**
 * The secure client in five lines: the server must present a certificate for its name that a known authority has
 * signed.
 *
 *     npm run sample -- secure-client example.org 443
 *     npm run sample -- secure-client localhost 9443 --ca authority.pem
 *
 * You will see the TLS parameters and the server's certificate, or one line that says why the client did not connect:
 * an unknown authority, another name, an expired certificate. The client trusts the authorities that Node.js bundles;
 * --ca FILE (PEM) trusts others instead.
 */

import { parseArgs } from 'node:util';

import { Reactor } from 'wantio';
import { TlsContext } from 'wantio/tls';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { ca: { type: 'string' } } });
if (positionals.length !== 2) throw new RangeError('which host, and which port? Such as: example.org 443');
const [host, port] = [positionals[0], Number(positionals[1])];
const ca = values.ca === undefined ? 'bundled' : { file: values.ca };

// The five lines. No option is needed to verify the peer, to require a certificate and to check it for `host`.
const reactor = new Reactor();
const context = await TlsContext.client({ ca, depth: 9 });
const connection = await reactor.connectSecure({ host, port, secure: context, timeouts: { totalMs: 10_000 } });
const { protocol, cipher } = connection.info();
console.log(`${protocol}, ${cipher}\n${String(connection.peerCertificate())}`);

await connection.close();
await reactor.close();
context.close();
