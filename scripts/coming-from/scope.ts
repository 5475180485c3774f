/** The variables for the code in the tables of docs/coming-from.md. The page describes them in words. */

import { createPrivateKey, getDiffieHellman } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { Certificate, TlsContext } from '../../protocols/tls/index.ts';
import type { SecureConnection } from '../../protocols/tls/index.ts';
import { pemOf } from '../../protocols/tls/certificates/pem-text.ts';
import { Authority } from '../../protocols/testing/tls/authority.ts';
import { integer, sequence } from '../../protocols/testing/tls/der.ts';
import { Reactor } from '../../reactor/index.ts';
import type { Connection, Listener } from '../../reactor/index.ts';

/** The names that the code may use. */
export interface Scope {
  readonly reactor: Reactor;
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly socket: Socket;
  readonly listener: Listener;
  readonly plain: Connection;
  readonly context: TlsContext;
  readonly serverContext: TlsContext;
  readonly client: SecureConnection;
  readonly server: SecureConnection;
  readonly client12: SecureConnection;
  readonly server12: SecureConnection;
  readonly certificate: Certificate;
  readonly pem: string;
  readonly key: string;
}

/** Makes the variables that `code` names, calls `use` with them, and closes everything afterwards. */
export async function withScope(code: string, use: (scope: Scope) => Promise<unknown>): Promise<unknown> {
  const names = new Set(code.match(/\w+/g));
  // Code that receives everything needs a peer that ends.
  const play = (end: SecureConnection): Promise<void> => playing(end, code.includes("'*a'"));
  const reactor = new Reactor();
  const contexts: TlsContext[] = [];
  const nodes: Server[] = [];
  const listening = async (server: Server): Promise<number> => {
    nodes.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const keep = (context: TlsContext): TlsContext => {
    contexts.push(context);
    return context;
  };
  const both = { ca: { pem: authority.pem }, allowPeerRenegotiations: 10 };
  const context = keep(
    await TlsContext.client({
      ...both,
      alpn: ['h2', 'http/1.1'],
      certificate: { pem: person.certificate },
      key: { pem: person.key },
    }),
  );
  const oldContext = keep(await TlsContext.client({ ...both, protocols: { max: 'TLSv1.2' } }));
  const serverContext = keep(
    await TlsContext.server({
      ...both,
      alpn: ['h2', 'http/1.1'],
      certificate: { pem: issued.certificate },
      key: { pem: issued.key },
    }),
  );
  try {
    const [served, listener] = await Promise.all([
      reactor.listen({ host: 'localhost', port: 0 }),
      reactor.listen({ host: 'localhost', port: 0 }),
    ]);
    served.on('clientError', () => undefined);
    served.serve({ secure: serverContext }, play);
    const [port, other] = [served, listener].map((each) => (each.address as { port: number }).port);
    if (names.has('listener'))
      void reactor
        .connectSecure({ host: 'localhost', port: other, secure: context })
        .then(play)
        .catch(() => undefined);
    const [client, server] =
      names.has('client') || names.has('server') ? await pair(reactor, context, serverContext) : NONE;
    const [client12, server12] =
      names.has('client12') || names.has('server12') ? await pair(reactor, oldContext, serverContext) : NONE;
    for (const [name, end] of Object.entries({ client, server, client12, server12 }))
      if (!names.has(name) && end !== undefined) void play(end);
    return await use({
      url: names.has('url') ? `https://localhost:${String(await listening(website()))}/` : '',
      socket: names.has('socket') ? await accepted(reactor, context, listening) : undefined,
      reactor,
      host: 'localhost',
      port,
      listener,
      context,
      serverContext,
      certificate: Certificate.load(issued.certificate),
      pem: issued.certificate,
      key: issued.key,
      plain: names.has('plain') ? await reactor.connect({ host: 'localhost', port }) : NONE[0],
      // Variables that the code does not name are undefined.
      client: client as SecureConnection,
      server: server as SecureConnection,
      client12: client12 as SecureConnection,
      server12: server12 as SecureConnection,
    } as Scope);
  } finally {
    reactor.abort();
    await reactor.close();
    for (const each of contexts) each.close();
    for (const each of nodes) each.close();
  }
}

/**
 * The behaviour of an end that the code does not use: it sends two lines, half-closes if the code waits for that, reads
 * until its peer ends, and closes.
 */
async function playing(end: SecureConnection, halfCloses: boolean): Promise<void> {
  try {
    await end.send('hello\nworld\n');
    if (halfCloses) await end.shutdown('send');
    for await (const _ of end);
    await end.close();
  } catch {
    // The code may have broken the connection.
  }
}

async function pair(
  reactor: Reactor,
  client: TlsContext,
  server: TlsContext,
): Promise<[SecureConnection, SecureConnection]> {
  const listener = await reactor.listen({ host: 'localhost', port: 0 });
  const { port } = listener.address as { port: number };
  const [near, far] = await Promise.all([reactor.connect({ host: 'localhost', port }), listener.accept()]);
  listener.close();
  const ends: [SecureConnection, SecureConnection] = [
    near.secure(client, { serverName: 'localhost' }),
    far.secure(server),
  ];
  await Promise.all(ends.map((end) => end.handshake()));
  return ends;
}

/** A web server that responds with the method and the body of each request. */
function website(): Server {
  return createHttpsServer({ cert: issued.certificate, key: issued.key }, (asked, answer) => {
    void text(asked).then((body) => answer.end(`${asked.method ?? ''} ${body}`));
  });
}

/** A socket that a Node server has accepted, and whose peer begins a TLS handshake. */
async function accepted(
  reactor: Reactor,
  secure: TlsContext,
  listening: (server: Server) => Promise<number>,
): Promise<Socket> {
  const server = createServer();
  const port = await listening(server);
  void reactor
    .connectSecure({ host: 'localhost', port, secure })
    .then((connection) => connection.receive('*a'))
    .catch(() => undefined);
  return ((await once(server, 'connection')) as [Socket])[0];
}

/** Makes the files that the code uses. @returns the folder in which the code must run. */
export function files(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
  const write = (name: string, content: string): void => {
    writeFileSync(join(folder, name), content);
  };
  mkdirSync(join(folder, 'authorities'));
  write('cert.pem', issued.certificate);
  write('key.pem', issued.key);
  write('rsa-cert.pem', rsa.certificate);
  write('rsa-key.pem', rsa.key);
  write(
    'locked-key.pem',
    createPrivateKey(issued.key)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' })
      .toString(),
  );
  write('ca.pem', authority.pem);
  write('authorities/ca.pem', authority.pem);
  write('revoked.pem', authority.crl([]));
  write(
    'dh.pem',
    pemOf('DH PARAMETERS', sequence(integer(BigInt(`0x${getDiffieHellman('modp14').getPrime('hex')}`)), integer(2))),
  );
  return folder;
}

const NONE = [undefined, undefined] as const;
const authority = new Authority();
const issued = authority.issue({ names: ['localhost', '127.0.0.1', '::1'] });
const rsa = authority.issue({ names: ['localhost'], key: 'rsa2048' });
const person = authority.issue({ names: ['somebody@example.org'] });
