/**
 * The secure client in five lines: the server must show a certificate that a known authority has signed, and that is
 * its name's.
 *
 *     npm run sample -- secure-client example.org 443
 *     npm run sample -- secure-client localhost 9443 --ca authority.pem
 *
 * You will see what was agreed on and whose certificate it is; or in one line why the connection was not made: an
 * unknown authority, another name, a certificate that has expired. The authorities are those that Node.js bundles; --ca
 * FILE (PEM) takes others.
 */

import { parseArgs } from 'node:util';

import { Reactor } from 'wantio';
import { TlsContext } from 'wantio/tls';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { ca: { type: 'string' } } });
if (positionals.length !== 2) throw new RangeError('which host, and which port? Such as: example.org 443');
const [host, port] = [positionals[0], Number(positionals[1])];
const ca = values.ca === undefined ? 'bundled' : { file: values.ca };

// The five lines. That the peer is verified, fails without a certificate and must have the name of `host` needs no
// word.
const reactor = new Reactor();
const context = await TlsContext.client({ ca, depth: 9 });
const connection = await reactor.connectSecure({ host, port, secure: context, timeouts: { totalMs: 10_000 } });
const { protocol, cipher } = connection.info();
console.log(`${protocol}, ${cipher}\n${String(connection.peerCertificate())}`);

await connection.close();
await reactor.close();
context.close();
