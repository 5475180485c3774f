import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent as HttpAgent, createServer as createHttpServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { connect as connectSocket, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect, createServer as createTlsServer } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { TruncatedError } from '../core/errors.ts';
import { fromDuplex, toDuplex } from '../reactor/index.ts';
import { streamPair } from '../reactor/testing/stream-pair.ts';
import { portOf } from '../reactor/testing/with-reactor.ts';
import { Authority } from './testing/tls/authority.ts';
import { certificateFiles, isInstalled, Program } from './testing/tls/program.ts';
import { withSecureReactor } from './testing/tls/secure-reactor.ts';
import { Relay } from './relay.ts';

const host = '127.0.0.1';
const authority = new Authority();
const ca = { pem: authority.pem };
const issued = authority.issue({ names: ['localhost'] });
const own = { certificate: { pem: issued.certificate }, key: { pem: issued.key } };
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Calls `use` with a plain Node server that passes its sockets to `accept`. */
async function withNodeServer(accept: (socket: Socket) => void, use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(accept).listen(0, host);
  await once(server, 'listening');
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** Reads until the end, without destroying the stream then. */
const all = (stream: Duplex): Promise<string> => text(stream.iterator({ destroyOnReturn: false }));
const gone = (stream: Duplex): Promise<void> => new Promise((resolve) => stream.once('close', resolve));
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function bodyOf(asking: ReturnType<typeof httpRequest>, body: string): Promise<string> {
  asking.end(body);
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  return text(answer);
}

/** Answers with the path and the body of the request. */
function echoServer(): Server {
  return createHttpServer((asked, answer) => {
    void text(asked).then((body) => answer.end(`${asked.url ?? ''} ${body}`));
  });
}

describe.each(versions)('TLS over a Node socket, under %s,', (version) => {
  const only = { minVersion: version, maxVersion: version };
  const protocols = { min: version, max: version };

  it('secures a socket that a Node server accepted, and node:tls resumes its session', () =>
    withSecureReactor(async ({ reactor, server }) => {
      const context = await server({ ...own, protocols, resumption: 'stateful' });
      const outcomes: string[] = [];
      const accept = (socket: Socket): void => {
        const connection = fromDuplex(reactor, socket).secure(context);
        void (async () => {
          expect(connection.remoteAddress).toMatchObject({ host, port: socket.remotePort });
          for await (const line of connection.lines()) await connection.send(`${line.toUpperCase()}\n`);
          outcomes.push(connection.resumption);
          await connection.close();
        })();
      };
      await withNodeServer(accept, async (port) => {
        let session: Buffer | undefined;
        for (const word of ['first', 'second']) {
          const options = {
            host,
            port,
            servername: 'localhost',
            ca: authority.pem,
            ...only,
            ...(session === undefined ? {} : { session }),
          };
          const socket = connect(options);
          const closing = gone(socket);
          socket.on('session', (made: Buffer) => {
            session = made;
          });
          socket.write(`${word}\n`);
          expect(String(((await once(socket, 'data')) as [Buffer])[0])).toBe(`${word.toUpperCase()}\n`);
          expect([socket.authorized, socket.isSessionReused()]).toEqual([true, word === 'second']);
          socket.end();
          await closing;
        }
      });
      expect(outcomes[1]).toBe('resumed');
      expect(outcomes[0]).not.toBe('resumed');
    }));

  it('secures a socket that Node connected, and resumes its session', () =>
    withSecureReactor(async ({ reactor, client }) => {
      const context = await client({ ca, protocols });
      const peer = createTlsServer({ cert: issued.certificate, key: issued.key, ...only }, (socket) =>
        socket.pipe(socket),
      ).listen(0, host);
      await once(peer, 'listening');
      for (const reused of [false, true]) {
        const socket = connectSocket((peer.address() as AddressInfo).port, host);
        await once(socket, 'connect');
        const connection = fromDuplex(reactor, socket, { host: 'localhost' }).secure(context);
        await connection.send('to you\n');
        expect(await connection.receive()).toBe('to you');
        expect([connection.info().protocol, connection.reused]).toEqual([version, reused]);
        await connection.close();
      }
      peer.close();
    }));

  it('carries 8 MiB each way at once, and half-closes', () =>
    withSecureReactor(async ({ reactor, server }) => {
      const context = await server({ ...own, protocols });
      const [there, back] = [randomBytes(8 << 20), randomBytes(8 << 20)];
      let served: Promise<string> | undefined;
      await withNodeServer(
        (socket) => {
          const connection = fromDuplex(reactor, socket).secure(context);
          served = (async () => {
            const [received] = await Promise.all([connection.receive('*a'), connection.send(back)]);
            await connection.send('and this after your end');
            await connection.close();
            return hash(received);
          })();
        },
        async (port) => {
          const options = { host, port, servername: 'localhost', ca: authority.pem, allowHalfOpen: true, ...only };
          const socket = connect(options);
          await once(socket, 'secureConnect');
          const chunks: Buffer[] = [];
          socket.on('data', (chunk: Buffer) => chunks.push(chunk));
          socket.end(there);
          await gone(socket);
          expect(await served).toBe(hash(there));
          const received = Buffer.concat(chunks);
          expect(hash(received.subarray(0, back.length))).toBe(hash(back));
          expect(received.subarray(back.length).toString()).toBe('and this after your end');
        },
      );
    }));

  it('distinguishes garbage, a reset and a truncated end from a clean end', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const [context, secure] = await Promise.all([server({ ...own, protocols }), client({ ca })]);
      const outcomes: Promise<unknown>[] = [];
      const accept = (socket: Socket): void => {
        const connection = fromDuplex(reactor, socket).secure(context);
        outcomes.push(
          connection
            .send('welcome\n')
            .then(() => connection.receive('*a'))
            .catch((error: unknown) => error)
            .finally(() => void connection.close()),
        );
      };
      await withNodeServer(accept, async (port) => {
        const garbage = connectSocket(port, host);
        garbage.write('GET / HTTP/1.1\r\n\r\n');
        await gone(garbage.resume());
        const reset = await reactor.connectSecure({ host: 'localhost', port, secure });
        expect(await reset.receive()).toBe('welcome');
        reset.abort();
        const below = connectSocket({ port, host });
        const truncated = connect({ socket: below, servername: 'localhost', ca: authority.pem });
        await once(truncated, 'data');
        below.end();
        await outcomes.at(-1);
        truncated.destroy();
        const clean = await reactor.connectSecure({ host: 'localhost', port, secure });
        expect(await clean.receive()).toBe('welcome');
        await clean.shutdown('send');
        await outcomes.at(-1);
        await clean.close();
      });
      const [plain, reset, truncated, clean] = await Promise.all(outcomes);
      expect(plain).toMatchObject({ name: 'TlsError' });
      expect(reset).toMatchObject({ code: 'ECONNRESET' });
      expect(truncated).toBeInstanceOf(TruncatedError);
      expect(clean).toEqual(new Uint8Array(0));
    }));
});

describe('TLS over Node streams', () => {
  it('carries another TLS layer inside, with node:tls as its client', () =>
    withSecureReactor(async ({ reactor, client, server }) => {
      const [outer, inner] = await Promise.all([server(own), client({ ca })]);
      const [near, far] = streamPair();
      const nodes = connect({
        socket: toDuplex(fromDuplex(reactor, near, { host: 'localhost' }).secure(inner)),
        servername: 'localhost',
        ca: authority.pem,
      });
      const middle = fromDuplex(reactor, far).secure(outer);
      const innermost = fromDuplex(reactor, toDuplex(middle)).secure(outer);
      const closing = gone(nodes);
      nodes.write('through two layers\n');
      expect(await innermost.receive()).toBe('through two layers');
      await innermost.send('and back\n');
      expect(String(((await once(nodes, 'data')) as [Buffer])[0])).toBe('and back\n');
      nodes.end();
      expect((await innermost.receive('*a')).length).toBe(0);
      await innermost.close();
      await closing;
    }));

  it('can be relayed to any other connection', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const context = await server(own);
      const [near, far] = streamPair();
      const [left, right] = streamPair();
      const relay = new Relay(fromDuplex(reactor, far).secure(context), fromDuplex(reactor, left));
      const connection = fromDuplex(reactor, near, { host: 'localhost' }).secure(await client({ ca }));
      await connection.send('passed on');
      await connection.shutdown('send');
      expect(await all(right)).toBe('passed on');
      right.end('and back');
      expect(Buffer.from(await connection.receive('*a')).toString()).toBe('and back');
      await connection.close();
      expect(await relay.done).toMatchObject({ forward: 9, backward: 8 });
    }));
});

describe('node:http over our TLS', () => {
  it('serves connections of our listener, and sends requests over our connections', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const http = echoServer();
      const listener = await reactor.listen({ host, port: 0 });
      listener.serve({ secure: await server(own) }, async (connection) => {
        const stream = toDuplex(connection);
        http.emit('connection', stream);
        await gone(stream);
      });
      const secure = await client({ ca });
      const call = () => reactor.connectSecure({ host: 'localhost', port: portOf(listener), secure });
      let made = 0;
      class OverTls extends HttpAgent {
        override createConnection(_options: unknown, ready?: (error: Error | null, stream: Duplex) => void): undefined {
          made++;
          void call().then((connection) => ready?.(null, toDuplex(connection)));
        }
      }
      const agent = new OverTls({ keepAlive: true, maxSockets: 1 });
      for (const word of ['one', 'two', 'three'])
        expect(await bodyOf(httpRequest({ method: 'POST', path: `/${word}`, agent }), word)).toBe(`/${word} ${word}`);
      expect(made).toBe(1);
      agent.destroy();
      const connection = await call();
      expect(
        await bodyOf(
          httpRequest({ method: 'POST', path: '/alone', createConnection: () => toDuplex(connection) }),
          'x'.repeat(1 << 20),
        ),
      ).toBe(`/alone ${'x'.repeat(1 << 20)}`);
    }));

  it('serves sockets that another server accepted, to node:https', () =>
    withSecureReactor(async ({ reactor, server }) => {
      const http = echoServer();
      const context = await server(own);
      let accepted = 0;
      await withNodeServer(
        (socket) => {
          accepted++;
          http.emit('connection', toDuplex(fromDuplex(reactor, socket).secure(context)));
        },
        async (port) => {
          const agent = new HttpsAgent({ keepAlive: true, ca: authority.pem, maxSockets: 1 });
          const ask = (path: string, body: string) =>
            bodyOf(
              httpsRequest({
                method: 'POST',
                host: 'localhost',
                servername: 'localhost',
                lookup: (_, __, found) => {
                  found(null, [{ address: host, family: 4 }]);
                },
                port,
                path,
                agent,
              }),
              body,
            );
          expect(await ask('/first', 'a')).toBe('/first a');
          expect(await ask('/second', 'b'.repeat(1 << 20))).toBe(`/second ${'b'.repeat(1 << 20)}`);
          expect(accepted).toBe(1);
          agent.destroy();
        },
      );
    }));

  it.skipIf(!isInstalled('curl'))('serves sockets that another server accepted, to curl', () =>
    withSecureReactor(async ({ reactor, server }) => {
      const { certificate, key } = certificateFiles();
      const http = echoServer();
      const context = await server({ certificate: { file: certificate }, key: { file: key } });
      await withNodeServer(
        (socket) => {
          http.emit('connection', toDuplex(fromDuplex(reactor, socket).secure(context)));
        },
        async (port) => {
          const url = `https://localhost:${String(port)}/`;
          const curl = new Program(
            'curl',
            '--silent',
            '--show-error',
            '--cacert',
            certificate,
            '--data',
            'by curl',
            `${url}once`,
            `${url}again`,
          );
          expect(await curl.exit()).toBe(0);
          expect(curl.output).toBe('/once by curl/again by curl');
        },
      );
    }),
  );

  it('reports a client that does not speak HTTP, and one that resets, as clientError', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const http = echoServer();
      const [context, secure] = await Promise.all([server(own), client({ ca })]);
      const told: string[] = [];
      http.on('clientError', (error: NodeJS.ErrnoException, stream) => {
        told.push(error.code ?? '');
        stream.destroy(error);
      });
      const streams: Promise<void>[] = [];
      await withNodeServer(
        (socket) => {
          const stream = toDuplex(fromDuplex(reactor, socket).secure(context));
          streams.push(gone(stream));
          http.emit('connection', stream);
        },
        async (port) => {
          const confused = await reactor.connectSecure({ host: 'localhost', port, secure });
          await confused.send('no HTTP at all\r\n\r\n');
          await streams[0];
          confused.abort();
          const rude = await reactor.connectSecure({ host: 'localhost', port, secure });
          await rude.send('GET /first HTTP/1.1\r\nHost: x\r\n\r\n');
          expect(await rude.receive()).toBe('HTTP/1.1 200 OK');
          rude.abort();
          await streams[1];
        },
      );
      expect(told).toEqual([expect.stringMatching(/^HPE_INVALID_/), 'ECONNRESET']);
    }));
});
