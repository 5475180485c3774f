import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';

import { describe, expect, it, vi } from 'vitest';

import {
  AbortError,
  BoundsError,
  ClosedError,
  OperationTimeoutError,
  SystemError,
  TruncatedError,
} from '../../core/errors.ts';
import type { WantioError } from '../../core/errors.ts';
import { toDuplex } from '../../reactor/index.ts';
import { World } from '../../reactor/simulated/world.ts';
import { portOf } from '../../reactor/testing/with-reactor.ts';
import { https } from '../index.ts';
import { TlsContext } from '../tls/context/context.ts';
import type { SecureConnection } from '../tls/secure-connection.ts';
import { Authority } from '../testing/tls/authority.ts';
import { sServer } from '../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing } from '../testing/tls/program.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';

const host = '127.0.0.1';
const authority = new Authority();
const ca = { pem: authority.pem };
const site = authority.issue({ names: ['localhost', host] });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };

/** Sends a request to the test's server, with a context that trusts it. */
type Ask = (path: string, options?: Partial<https.RequestOptions>) => Promise<https.Response>;

/** Calls `use` with a server of node:https. */
async function withNodeServer(
  answer: RequestListener,
  use: (ask: Ask, secure: SecureReactor & { readonly url: string; readonly context: TlsContext }) => Promise<void>,
  options: ServerOptions = {},
): Promise<void> {
  await withSecureReactor(async (secure) => {
    const server = createHttpsServer({ cert: site.certificate, key: site.key, ...options }, answer).listen(0, host);
    await once(server, 'listening');
    const url = `https://${host}:${String((server.address() as AddressInfo).port)}`;
    const context = await secure.client({ ca });
    try {
      await use((path, more) => https.request(secure.reactor, { url: `${url}${path}`, secure: context, ...more }), {
        ...secure,
        url,
        context,
      });
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
}

/** Calls `use` with a server over our TLS that handles each connection with `serve`. */
async function withServer(
  serve: (connection: SecureConnection, secure: SecureReactor) => Promise<void>,
  use: (ask: Ask, secure: SecureReactor) => Promise<void>,
): Promise<void> {
  await withSecureReactor(async (secure) => {
    const listener = await secure.reactor.listen({ host, port: 0 });
    listener.serve({ secure: await secure.server(own) }, async (connection) => {
      await serve(connection, secure).catch(() => undefined);
    });
    const context = await secure.client({ ca });
    await use((path, more) => {
      // `secure: undefined` leaves the option out; https.request itself would refuse it.
      const { secure: layer, ...rest } = { secure: context, ...more };
      return https.request(secure.reactor, {
        url: `https://${host}:${String(portOf(listener))}${path}`,
        ...(layer === undefined ? {} : { secure: layer }),
        ...rest,
      });
    }, secure);
  });
}

/** Receives up to the empty line that ends the header of a request. */
async function header(connection: SecureConnection): Promise<void> {
  while ((await connection.receive()) !== '');
}

/** @returns the error that `promise` rejects with. */
async function failureOf(promise: Promise<unknown>): Promise<WantioError> {
  return promise.then(
    () => {
      throw new Error('the promise did not reject');
    },
    (error: unknown) => error as WantioError,
  );
}

const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Answers with the request's method, path and body, and in `x-framing` how the body was framed. */
const echo: RequestListener = (asked, answer) => {
  void buffer(asked).then((body) => {
    const { 'content-length': length, 'transfer-encoding': coding, connection } = asked.headers;
    answer.setHeader('x-framing', `${length ?? coding ?? 'none'}, ${String(connection)}`);
    answer.end(Buffer.concat([Buffer.from(`${asked.method ?? ''} ${asked.url ?? ''}\n`), body]));
  });
};

describe('a request to node:https', () => {
  it('resolves with the body, status, status line, headers and TLS information', () =>
    withNodeServer(echo, async (ask, { url, reactor, context }) => {
      const response = await ask('/path?query#fragment');
      expect(response).toMatchObject({
        status: 200,
        statusText: 'OK',
        statusLine: 'HTTP/1.1 200 OK',
        httpVersion: '1.1',
        trailers: {},
        resumed: false,
      });
      expect(textOf(response.body)).toBe('GET /path?query\n');
      expect(response.headers).toMatchObject({ 'x-framing': 'none, close', 'content-length': '16' });
      expect(response.tls).toMatchObject({ protocol: 'TLSv1.3', serverName: undefined });
      expect(
        textOf((await https.request(reactor, { url: new URL(url.replace(host, 'localhost')), secure: context })).body),
      ).toBe('GET /\n');
    }));

  it.each([
    ['a text', 'grüße', '7, close', 'grüße'],
    ['bytes', Buffer.from('bytes'), '5, close', 'bytes'],
    ['nothing', '', '0, close', ''],
    ['a list', ['one ', Buffer.alloc(0), Buffer.from('two')], 'chunked, close', 'one two'],
    ['a stream of Node', Readable.from([Buffer.from('a '), Buffer.from('stream')]), 'chunked, close', 'a stream'],
  ] as const)('posts %s', (_, body, framing, posted) =>
    withNodeServer(echo, async (ask) => {
      const response = await ask('/form', { body });
      expect([textOf(response.body), response.headers['x-framing']]).toEqual([`POST /form\n${posted}`, framing]);
    }),
  );

  it('sends a stream with the given content-length, and with any method', () =>
    withNodeServer(echo, async (ask) => {
      const response = await ask('/', {
        method: 'get',
        body: Readable.from(['half', 'half']),
        headers: { 'Content-Length': 8 },
      });
      expect([textOf(response.body), response.headers['x-framing']]).toEqual(['GET /\nhalfhalf', '8, close']);
      const deleted = await ask('/', { method: 'DELETE', body: [Buffer.from('chunk')] });
      expect([textOf(deleted.body), deleted.headers['x-framing']]).toEqual(['DELETE /\nchunk', 'chunked, close']);
      expect((await ask('/', { method: 'POST' })).headers['x-framing']).toBe('0, close');
    }));

  it.each(['known', 'unknown'])('sends and receives 4 MiB of %s length, and reports its progress', (length) =>
    withNodeServer(
      (asked, answer) => {
        asked.pipe(answer);
      },
      async (ask) => {
        const bytes = randomBytes(4 << 20);
        const told: { sent: number; received: number }[] = [];
        const body = length === 'known' ? bytes : Readable.from([bytes.subarray(0, 1 << 20), bytes.subarray(1 << 20)]);
        const response = await ask('/', { body, onProgress: (progress) => told.push(progress) });
        expect(hash(response.body)).toBe(hash(bytes));
        expect(told.at(-1)).toEqual({ sent: bytes.length, received: bytes.length });
        expect(told.length).toBeGreaterThan(64);
      },
    ),
  );

  it('expects no body in responses that have none, and follows no redirects', () =>
    withNodeServer(
      (asked, answer) => {
        const status = Number(asked.url?.slice(1));
        answer
          .writeHead(status, { ...(status === 200 ? { 'content-length': 1_000_000_000 } : {}), location: '/200' })
          .end();
      },
      async (ask) => {
        const head = await ask('/200', { method: 'HEAD' });
        expect([head.status, head.headers['content-length'], head.body]).toEqual([
          200,
          '1000000000',
          new Uint8Array(0),
        ]);
        for (const status of [204, 301, 304, 404])
          expect(await ask(`/${String(status)}`)).toMatchObject({
            status,
            body: new Uint8Array(0),
            headers: { location: '/200' },
          });
      },
    ));

  it('returns repeated headers joined, cookies as a list, and trailers', () =>
    withNodeServer(
      (_asked, answer) => {
        answer.writeHead(200, 'Fine', [
          ['Vary', 'a'],
          ['Vary', 'b'],
          ['Set-Cookie', 'one=1'],
          ['Set-Cookie', 'two=2'],
          ['Trailer', 'X-Digest'],
        ] as unknown as string[]);
        answer.write('body');
        answer.addTrailers({ 'X-Digest': 'of it' });
        answer.end();
      },
      async (ask) => {
        const response = await ask('/');
        expect(response).toMatchObject({
          statusLine: 'HTTP/1.1 200 Fine',
          headers: { vary: 'a, b', 'set-cookie': ['one=1', 'two=2'] },
          trailers: { 'x-digest': 'of it' },
        });
      },
    ));

  it('skips informational responses and resolves with the final one', () =>
    withNodeServer(
      (asked, answer) => {
        answer.writeContinue();
        answer.writeProcessing();
        answer.writeEarlyHints({ link: '</style.css>; rel=preload' });
        echo(asked, answer);
      },
      async (ask) => {
        expect(textOf((await ask('/', { body: 'after them', headers: { expect: '100-continue' } })).body)).toBe(
          'POST /\nafter them',
        );
      },
    ));

  it('sends the given headers, including host', () =>
    withNodeServer(
      (asked, answer) => {
        answer.end(JSON.stringify([asked.headers['host'], asked.headers['accept'], asked.headers['x-number']]));
      },
      async (ask, { url }) => {
        expect(
          JSON.parse(textOf((await ask('/', { headers: { Accept: ['a/b', 'c/d'], 'x-number': 7 } })).body)),
        ).toEqual([new URL(url).host, 'a/b, c/d', '7']);
        expect(JSON.parse(textOf((await ask('/', { headers: { HOST: 'other.test' } })).body))).toEqual([
          'other.test',
          null,
          null,
        ]);
        const absent = {
          host: undefined,
          accept: undefined,
          connection: undefined,
          'content-length': undefined,
          'x-number': '8',
        };
        expect(JSON.parse(textOf((await ask('/', { headers: absent, body: ['x'] })).body))).toEqual([
          new URL(url).host,
          null,
          '8',
        ]);
      },
    ));

  it('resumes the session of the previous request', () =>
    withNodeServer(
      (asked, answer) => {
        answer.end(String((asked.socket as unknown as Pick<TLSSocket, 'isSessionReused'>).isSessionReused()));
      },
      async (ask, { context }) => {
        for (const resumed of [false, true, true]) {
          const response = await ask('/');
          expect([response.resumed, textOf(response.body)]).toEqual([resumed, String(resumed)]);
        }
        expect((await ask('/', { secure: context.with({ expect: { name: 'localhost' } }) })).status).toBe(200);
      },
    ));

  it('uses a verifying context by default, which is created once a reactor and closed with it', async () => {
    const make = TlsContext.client.bind(TlsContext);
    const made: Promise<TlsContext>[] = [];
    await withNodeServer(
      echo,
      async (_ask, { reactor, url }) => {
        const spy = vi.spyOn(TlsContext, 'client').mockImplementation((options) => {
          expect(options).toEqual({ alpn: ['http/1.1'] });
          made.push(make({ ...options, ca }));
          return made[0];
        });
        try {
          const first = await https.request(reactor, `${url}/`);
          expect([first.tls.alpn, first.resumed]).toEqual(['http/1.1', false]);
          const second = await https.request(reactor, new URL(url), 'posted');
          expect([textOf(second.body), second.resumed]).toEqual(['POST /\nposted', true]);
        } finally {
          spy.mockRestore();
        }
        expect(made.length).toBe(1);
        expect((await made[0]).sessions).toBeDefined();
      },
      { ALPNProtocols: ['http/1.1'] },
    );
    const context = await made[0];
    expect(() => context.sessions).toThrow(ClosedError);
  });
});

describe('a request', () => {
  it('works with node:http behind our TLS server', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const http = createHttpServer(echo);
      const listener = await reactor.listen({ host, port: 0 });
      listener.serve(
        { secure: await server({ ...own, alpn: ['http/1.1'], resumption: 'stateless' }) },
        async (connection) => {
          const stream = toDuplex(connection);
          http.emit('connection', stream);
          await once(stream, 'close');
        },
      );
      const secure = await client({ ca, alpn: ['http/1.1'] });
      const bytes = randomBytes(1 << 20);
      for (const resumed of [false, true]) {
        const response = await https.request(reactor, {
          url: `https://localhost:${String(portOf(listener))}/ours`,
          secure,
          body: bytes,
        });
        expect([response.resumed, response.tls.serverName, hash(response.body)]).toEqual([
          resumed,
          'localhost',
          hash(Buffer.concat([Buffer.from('POST /ours\n'), bytes])),
        ]);
      }
    }));

  it.skipIf(!isInstalled('openssl')).each(['-tls1_2', '-tls1_3'])(
    `reads a body that openssl s_server ends by closing the connection, under %s${missing('openssl')}`,
    (version) =>
      withSecureReactor(async ({ reactor, client }) => {
        const { program, port } = await sServer(
          '-www',
          version,
          '-cert',
          fileOf('site.pem', site.certificate),
          '-key',
          fileOf('site.key', site.key),
        );
        const response = await https.request(reactor, {
          url: `https://localhost:${String(port)}/`,
          secure: await client({ ca }),
        });
        expect(response).toMatchObject({ status: 200, httpVersion: '1.0', headers: { 'content-type': 'text/html' } });
        expect(textOf(response.body)).toContain(response.tls.cipher);
        await program.kill();
      }),
  );

  it('passes a chunk to the sink only when the sink is done with the previous one', () =>
    withNodeServer(
      (_asked, answer) => {
        answer.end(Buffer.alloc(1 << 20, 'x'));
      },
      async (ask, { reactor }) => {
        let [busy, most, bytes] = [0, 0, 0];
        const response = await ask('/', {
          maxBytes: 1 << 20,
          sink: async (chunk, { status, headers }) => {
            expect([status, headers['content-length']]).toEqual([200, '1048576']);
            most = Math.max(most, ++busy);
            bytes += chunk.length;
            await reactor.select({}, 1);
            busy--;
          },
        });
        expect([most, bytes, response.body]).toEqual([1, 1 << 20, new Uint8Array(0)]);
      },
    ));

  it('applies backpressure while the sink is busy, and does not count that time towards the block timeout', () =>
    withNodeServer(
      (_asked, answer) => {
        const piece = Buffer.alloc(1 << 20);
        let left = 16;
        const write = (): void => {
          while (left-- > 0) if (!answer.write(piece)) return;
          answer.end();
        };
        answer.on('drain', write);
        write();
      },
      async (ask, { reactor }) => {
        const paused = new PassThrough();
        let bytes = 0;
        const asking = ask('/', {
          timeouts: { blockMs: 200 },
          sink: async (chunk) => {
            bytes += chunk.length;
            if (bytes === chunk.length) await once(paused, 'end');
          },
        });
        await reactor.select({}, 500);
        const [connection] = [...reactor.connections];
        expect(connection.statistics.bytesIn).toBeLessThan(1 << 20);
        paused.resume().end();
        await asking;
        expect(bytes).toBe(16 << 20);
      },
    ));

  it.each([
    ['resolves when the server continues within the block timeout after that', 1_220, undefined],
    ['fails when the server is silent for the block timeout after that', 1_260, 1_250],
  ])('whose sink takes longer than the block timeout %s', async (_, sendsAtMs, failsAtMs) => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    const { certificate, key } = authority.issue({ names: ['there'] });
    const [client, server] = await Promise.all([
      TlsContext.client({ ca }),
      TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } }),
    ]);
    await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 443 });
        listener.serve({ secure: server }, async (connection) => {
          await header(connection);
          await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst,');
          await world.sleep(sendsAtMs - world.now());
          await connection.send('second');
        });
        let isFirst = true;
        const sink = async (): Promise<void> => {
          if (isFirst) await world.sleep(1_050 - world.now());
          isFirst = false;
        };
        const asking = https.request(here.reactor, {
          url: 'https://there/',
          secure: client,
          sink,
          timeouts: { blockMs: 200 },
        });
        if (failsAtMs === undefined) expect(await asking).toMatchObject({ status: 200 });
        else {
          expect(await failureOf(asking)).toMatchObject({ mode: 'block', operation: 'receive' });
          expect(world.now()).toBeGreaterThanOrEqual(failsAtMs);
          expect(world.now()).toBeLessThan(failsAtMs + 10);
        }
        for (const { reactor } of world.machines) reactor.abort();
      })(),
    );
    client.close();
    server.close();
  });

  it('counts the connect and the handshake towards the total timeout', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    world.link(here, there).latencyMs = 100;
    const { certificate, key } = authority.issue({ names: ['there'] });
    const [client, server] = await Promise.all([
      TlsContext.client({ ca }),
      TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } }),
    ]);
    await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 443 });
        let secured = Infinity;
        listener.serve({ secure: server }, async (connection) => {
          secured = world.now();
          await connection.receive('*a').catch(() => undefined);
        });
        const failure = await failureOf(
          https.request(here.reactor, { url: 'https://there/', secure: client, timeouts: { totalMs: 1_000 } }),
        );
        expect(failure).toBeInstanceOf(OperationTimeoutError);
        expect(failure).toMatchObject({ mode: 'total' });
        expect(failure.message).toContain('1000 ms');
        expect(secured).toBeGreaterThan(200);
        expect(world.now()).toBe(1_000);
        for (const { reactor } of world.machines) reactor.abort();
      })(),
    );
    client.close();
    server.close();
  });

  it('resolves when the connection breaks after the whole response arrived and before the sink is done', () => {
    let breaks = (): void => undefined;
    return withServer(
      async (connection) => {
        breaks = () => {
          connection.abort();
        };
        await header(connection);
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfor the sink');
        await connection.receive('*a');
      },
      async (ask, { reactor }) => {
        let heard = '';
        const sink = async (chunk: Uint8Array): Promise<void> => {
          heard += textOf(chunk);
          if (heard !== 'for the sink') return;
          breaks();
          await vi.waitUntil(() => [...reactor.connections].every(({ basis }) => basis.role === 'server'), {
            interval: 1,
          });
        };
        expect(await ask('/', { sink })).toMatchObject({ status: 200 });
        expect(heard).toBe('for the sink');
      },
    );
  });

  it('resolves with a response that the server sends just before it resets the connection', () =>
    withSecureReactor(async ({ reactor, client }) => {
      const server = createTlsServer({ key: site.key, cert: site.certificate }, (socket) => {
        socket
          .on('error', () => undefined)
          .once('data', () => {
            // Bytes that the server has not read turn its close into a reset.
            socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!', () => socket.destroy());
          });
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const url = `https://localhost:${String((server.address() as AddressInfo).port)}/`;
      const secure = await client({ ca });
      for (let turn = 0; turn < 5; turn++) {
        const { status, body } = await https.request(reactor, { url, secure, body: Buffer.alloc(10_000_000) });
        expect([status, textOf(body)]).toEqual([413, 'no!']);
      }
      server.close();
    }));

  it('resolves with the response when the server has not read the whole request body, and closes the source', () =>
    withNodeServer(
      (_asked, answer) => {
        answer.writeHead(413, { 'content-length': 3 }).end('no!');
      },
      async (ask) => {
        let closed = false;
        const source = async function* (): AsyncGenerator<Uint8Array> {
          try {
            for (;;) yield Buffer.alloc(1 << 16);
          } finally {
            closed = true;
          }
        };
        const { status, body } = await ask('/', { body: source() });
        expect([status, textOf(body)]).toEqual([413, 'no!']);
        await vi.waitUntil(() => closed);
      },
    ));
});

describe("the default context of a reactor's requests", () => {
  it('is created again for the next request after its creation failed', () =>
    withServer(
      async (connection) => {
        await header(connection);
        await connection.send('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
      },
      async (ask, { client }) => {
        const context = await client({ ca });
        const spy = vi
          .spyOn(TlsContext, 'client')
          .mockRejectedValueOnce(new Error('no memory'))
          .mockResolvedValueOnce(context);
        try {
          expect(await failureOf(ask('/', { secure: undefined }))).toMatchObject({ message: 'no memory' });
          expect(await ask('/', { secure: undefined })).toMatchObject({ status: 204 });
          await ask('/', { secure: undefined });
          expect(spy).toHaveBeenCalledTimes(2);
        } finally {
          spy.mockRestore();
        }
      },
    ));
});

describe('a request is rejected', () => {
  const never = async (options: Partial<https.RequestOptions>): Promise<unknown> => {
    let failure: unknown;
    await withSecureReactor(async ({ reactor }) => {
      failure = await failureOf(https.request(reactor, { url: 'https://localhost:1/', ...options }));
    });
    return failure;
  };

  it.each([
    [{ url: 'http://localhost/' }, 'https.request needs an https: URL, not http:'],
    [
      { url: 'https://me:secret@localhost/' },
      'https.request takes no user and password in the URL, which logs and errors show: send an authorization header',
    ],
    [{ url: 'localhost' }, 'Invalid URL'],
    [{ method: 'GET / HTTP/1.1\r\nX: y' }, 'https.request has no method "GET / HTTP/1.1\\r\\nX: y"'],
    [{ method: 'connect' }, 'https.request has no method "connect"'],
    [{ headers: { 'x\r\ny': 'z' } }, 'Header name must be a valid HTTP token ["x\r\ny"]'],
    [{ headers: { x: 'y\r\nz: z' } }, 'Invalid character in header content ["x"]'],
    [{ headers: { x: ['y', 'a\nb'] } }, 'Invalid character in header content ["x"]'],
    [{ headers: { 'Transfer-Encoding': 'chunked' } }, 'https.request sets the header transfer-encoding by itself'],
    [{ headers: { Connection: 'keep-alive' } }, 'https.request sets the header connection by itself'],
    [
      { headers: { 'Content-Length': 4 }, body: 'grüße' },
      'the body of the request has 7 bytes, and its header content-length says 4',
    ],
    [
      { headers: { 'content-length': '2' }, body: new Uint8Array(1) },
      'the body of the request has 1 bytes, and its header content-length says 2',
    ],
    [{ headers: { 'content-length': 1 } }, 'the body of the request has 0 bytes, and its header content-length says 1'],
    [{ headers: { 'content-length': 'many' }, body: ['pieces'] }, 'https.request cannot send the content-length many'],
    [
      { headers: { 'content-length': 6, 'Content-Length': 7 }, body: ['pieces'] },
      'https.request cannot send the content-length 7',
    ],
    [{ body: 7 as never }, 'a body is a text, bytes, or an iterable of them'],
  ])('before it connects: %j', async (options, message) => {
    const failure = await never(options);
    expect(failure).toBeInstanceOf(TypeError);
    expect(failure).toMatchObject({ message });
  });

  it('when a body is passed in addition to an options object', () =>
    withSecureReactor(async ({ reactor }) => {
      const body = new PassThrough();
      // @ts-expect-error The types forbid it, but a JavaScript caller could do it by mistake.
      const failure = await failureOf(https.request(reactor, { url: 'https://localhost:1/' }, body));
      expect(failure).toBeInstanceOf(TypeError);
      expect(failure).toMatchObject({
        message: 'https.request takes the body in its options when there are options, not as a separate argument',
      });
      expect(body.destroyed).toBe(true);
    }));

  it('when nothing listens on the port, when the reactor is closed, and when a timeout is invalid', async () => {
    let url = '';
    await withNodeServer(echo, async (_ask, secure) => {
      url = secure.url;
      await Promise.resolve();
    });
    expect(await never({ url })).toMatchObject({ name: 'SystemError', code: 'ECONNREFUSED' });
    expect(await never({ timeouts: { blockMs: NaN } })).toBeInstanceOf(RangeError);
    await withSecureReactor(async ({ reactor }) => {
      await reactor.close();
      expect(await failureOf(https.request(reactor, url))).toBeInstanceOf(ClosedError);
    });
  });

  it('when the certificate is from an unknown authority, or for another name', () =>
    withNodeServer(echo, async (ask, { reactor, url, client }) => {
      expect(await failureOf(https.request(reactor, url))).toMatchObject({
        name: 'CertificateError',
        message: expect.stringContaining('unable to get local issuer certificate'),
      });
      expect(
        await failureOf(ask('/', { secure: (await client({ ca })).with({ serverName: 'other.test' }) })),
      ).toMatchObject({ name: 'WrongHostError', expected: 'other.test' });
    }));

  it('when the server speaks plain HTTP', () =>
    withSecureReactor(async ({ reactor }) => {
      const server = createHttpServer(echo).listen(0, host);
      await once(server, 'listening');
      const failure = await failureOf(
        https.request(reactor, `https://${host}:${String((server.address() as AddressInfo).port)}/`),
      );
      expect(failure).toMatchObject({
        name: 'TlsError',
        message: 'handshake failed: the peer speaks plain HTTP where TLS was expected',
      });
      server.close();
      server.closeAllConnections();
    }));

  it('when the server selected a protocol other than HTTP/1', () =>
    withServer(
      async (connection) => {
        await connection.receive('*a');
      },
      async (_ask, { reactor, server, client }) => {
        const listener = await reactor.listen({ host, port: 0 });
        listener.serve({ secure: await server({ ...own, alpn: ['h2'] }) }, async (connection) => {
          await connection.receive('*a').catch(() => undefined);
        });
        const failure = await failureOf(
          https.request(reactor, {
            url: `https://localhost:${String(portOf(listener))}/`,
            secure: await client({ ca, alpn: ['h2', 'http/1.1'] }),
          }),
        );
        expect(failure).toMatchObject({
          name: 'HttpError',
          code: 'ERR_WANTIO_HTTP',
          message: expect.stringContaining('h2'),
        });
      },
    ));
});

describe('a request fails', () => {
  it.each([
    ['no HTTP at all\r\n\r\n', 'HPE_INVALID_CONSTANT', ''],
    ['HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n', 'HPE_INVALID_CONTENT_LENGTH', ''],
    [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\nno number\r\n',
      'HPE_INVALID_CHUNK_SIZE',
      'good',
    ],
  ])('when the response is not HTTP: %j', (answer, code, partial) =>
    withServer(
      async (connection) => {
        await header(connection);
        await connection.send(answer);
        await connection.receive('*a');
      },
      async (ask) => {
        const failure = await failureOf(ask('/'));
        expect(failure).toBeInstanceOf(https.HttpError);
        expect(failure).toMatchObject({
          code: 'ERR_WANTIO_HTTP',
          message: expect.stringMatching(/^the response is not HTTP: /),
          cause: { code },
        });
        expect(textOf(failure.partial)).toBe(partial);
      },
    ),
  );

  it('when the server switches to a protocol that the request did not ask for', () =>
    withServer(
      async (connection) => {
        await header(connection);
        await connection.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nother');
        await connection.receive('*a');
      },
      async (ask) => {
        expect(await failureOf(ask('/'))).toMatchObject({
          name: 'HttpError',
          message: 'the server switches to another protocol, which the request did not ask for',
        });
      },
    ));

  it('when the reactor is aborted', () =>
    withServer(
      async (connection) => {
        await connection.receive('*a');
      },
      async (ask, { reactor }) => {
        const asking = failureOf(ask('/'));
        await vi.waitUntil(
          () => reactor.connections.size === 2 && reactor.operations().every(({ name }) => name === 'receive'),
          { interval: 1 },
        );
        reactor.abort();
        expect(await asking).toBeInstanceOf(ClosedError);
      },
    ));

  it.each([
    ['close', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', ClosedError, 'half'],
    ['close', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n', ClosedError, 'half'],
    ['close', 'HTTP/1.1 200 OK\r\nConte', ClosedError, ''],
    ['close', '', ClosedError, ''],
    ['end', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', TruncatedError, 'half'],
    // Without a content-length, only close_notify shows that the body is complete.
    ['end', 'HTTP/1.1 200 OK\r\n\r\nhalf', TruncatedError, 'half'],
    ['reset', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', SystemError, 'half'],
  ] as const)('with the partial body when the server ends too early by %s: %j', (how, answer, kind, partial) => {
    const heard = new PassThrough();
    return withNodeServer(
      (asked, response) => {
        const { socket } = asked;
        response.detachSocket(socket);
        socket.write(answer, () => {
          const { _parent: below } = socket as unknown as { _parent: Socket };
          if (how === 'close') socket.end();
          else if (how === 'end') below.destroySoon();
          // A reset may destroy bytes in flight, so wait until the client has received them.
          else heard.once('data', () => below.resetAndDestroy());
        });
      },
      async (ask) => {
        const failure = await failureOf(ask('/', { onProgress: () => heard.write('x') }));
        expect(failure).toBeInstanceOf(kind);
        expect(textOf(failure.partial)).toBe(partial);
      },
    );
  });

  it('when the body or the header of the response is too large', () =>
    withNodeServer(
      (asked, answer) => {
        if (asked.url === '/header') answer.setHeader('x', 'y'.repeat(20_000));
        answer.write(Buffer.alloc(600, 'a'));
        answer.end(Buffer.alloc(600, 'b'));
      },
      async (ask) => {
        expect((await ask('/', { maxBytes: 1200 })).body.length).toBe(1200);
        const failure = await failureOf(ask('/', { maxBytes: 1199 }));
        expect(failure).toBeInstanceOf(BoundsError);
        expect(failure).toMatchObject({
          option: 'maxBytes',
          limit: 1199,
          message: 'the body of the response is longer than 1199 bytes (option maxBytes)',
        });
        expect(await failureOf(ask('/', { maxBytes: 1199, sink: () => undefined }))).toBeInstanceOf(BoundsError);
        expect(await failureOf(ask('/header'))).toMatchObject({
          name: 'BoundsError',
          option: 'maxHeaderBytes',
          limit: 16_384,
        });
        expect((await ask('/header', { maxHeaderBytes: 32_768 })).headers['x']?.length).toBe(20_000);
      },
    ));

  it('with the error that its source, sink or onProgress throws, and the server sees the connection end', async () => {
    let ends = 0;
    await withNodeServer(
      (asked, answer) => {
        asked
          .on('error', () => undefined)
          .once('close', () => {
            if (!asked.complete) ends++;
          })
          .resume();
        if (asked.method === 'GET') answer.end(Buffer.alloc(1 << 20));
        else answer.on('error', () => undefined);
      },
      async (ask) => {
        const mine = new Error('mine');
        const sources = [
          async function* () {
            yield Buffer.from('some');
            await Promise.resolve();
            throw mine;
          },
          function* () {
            throw mine;
          },
        ];
        for (const source of sources)
          expect(await failureOf(ask('/', { body: source() as AsyncIterable<Uint8Array> }))).toBe(mine);
        const broken = new Readable({
          read() {
            this.destroy(mine);
          },
        });
        expect(await failureOf(ask('/', { body: broken }))).toBe(mine);
        expect(
          await failureOf(
            ask('/', {
              sink: () => {
                throw mine;
              },
            }),
          ),
        ).toBe(mine);
        expect(await failureOf(ask('/', { sink: () => Promise.reject(mine) }))).toBe(mine);
        expect(
          await failureOf(
            ask('/', {
              onProgress: () => {
                throw mine;
              },
            }),
          ),
        ).toBe(mine);
        expect(await failureOf(ask('/', { body: [7] as never }))).toMatchObject({
          name: 'TypeError',
          message: 'a body consists of bytes or texts, not of numbers',
        });
        for (const [text, message] of [
          ['too short', 'the body of the request ended after 9 of the 10 bytes of its content-length header'],
          ['this one is too long', 'the body of the request is longer than the 10 bytes of its content-length header'],
        ]) {
          const failure = await failureOf(ask('/', { body: [Buffer.from(text)], headers: { 'content-length': 10 } }));
          expect(failure).toBeInstanceOf(https.BodyLengthError);
          expect(failure).toMatchObject({
            name: 'BodyLengthError',
            code: 'ERR_WANTIO_BODY_LENGTH',
            declared: 10,
            message,
          });
        }
      },
    );
    expect(ends).toBeGreaterThan(0);
  });

  it('when the body exceeds its content-length, before the excess is sent', async () => {
    let got = Buffer.alloc(0);
    let isOver: (value: unknown) => void = () => undefined;
    const over = new Promise((resolve) => {
      isOver = resolve;
    });
    await withServer(
      async (connection) => {
        await header(connection);
        got = Buffer.from(
          await connection.receive('*a').catch((error: unknown) => (error as WantioError).partial as Uint8Array),
        );
        isOver(undefined);
      },
      async (ask) => {
        const body = ['01234', '56789', 'GET /another HTTP/1.1\r\n\r\n'].map((text) => Buffer.from(text));
        expect(await failureOf(ask('/', { method: 'POST', body, headers: { 'content-length': 10 } }))).toBeInstanceOf(
          https.BodyLengthError,
        );
        await over;
        expect('0123456789'.startsWith(got.toString())).toBe(true);
      },
    );
  });

  it('when the server sends nothing for longer than the block timeout', () =>
    withServer(
      async (connection) => {
        await header(connection);
        await connection.receive('*a');
      },
      async (ask) => {
        const failure = await failureOf(ask('/', { timeouts: { blockMs: 200 } }));
        expect(failure).toBeInstanceOf(OperationTimeoutError);
        expect(failure).toMatchObject({
          mode: 'block',
          want: 'read',
          message: 'receive timed out (block 200 ms) waiting to read',
        });
      },
    ));

  it('when the server reads nothing for longer than the block timeout, however long the source took before', () =>
    withServer(
      async (connection, { reactor }) => {
        await header(connection);
        await reactor.select({}, 60_000, { signal: reactor.draining });
      },
      async (ask, { reactor }) => {
        const source = async function* (): AsyncGenerator<Uint8Array> {
          yield Buffer.from('first');
          await reactor.select({}, 400);
          for (;;) yield Buffer.alloc(1 << 20);
        };
        const failure = await failureOf(ask('/', { body: source(), timeouts: { blockMs: 200 } }));
        expect(failure).toMatchObject({
          name: 'OperationTimeoutError',
          message: 'send timed out (block 200 ms) waiting to write',
        });
        reactor.abort();
      },
    ));

  it('when the server still sends single bytes at the total timeout', () =>
    withServer(
      async (connection, { reactor }) => {
        await header(connection);
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n');
        for (;;) {
          await connection.send('.');
          await reactor.select({}, 5);
        }
      },
      async (ask) => {
        const failure = await failureOf(ask('/', { timeouts: { blockMs: 300, totalMs: 600 } }));
        expect(failure).toMatchObject({
          name: 'OperationTimeoutError',
          mode: 'total',
          message: expect.stringContaining('(total 600 ms)'),
        });
        expect(textOf(failure.partial)).toMatch(/^\.+$/);
      },
    ));

  it('when the sink or the connect takes longer than the total timeout', () =>
    withNodeServer(
      (asked, answer) => {
        asked.on('error', () => undefined);
        answer.on('error', () => undefined).end('for the sink');
      },
      async (ask, { reactor }) => {
        const timeouts = { totalMs: 300 };
        const forever = new PassThrough();
        const failure = await failureOf(ask('/', { sink: () => once(forever, 'end'), timeouts }));
        expect(failure).toMatchObject({ name: 'OperationTimeoutError', mode: 'total' });
        forever.destroy();
        const listener = await reactor.listen({ host, port: 0 });
        expect(
          await failureOf(https.request(reactor, { url: `https://${host}:${String(portOf(listener))}/`, timeouts })),
        ).toMatchObject({ name: 'OperationTimeoutError', mode: 'total', operation: 'connect' });
        listener.close();
      },
    ));

  it.each(['before', 'handshake', 'source', 'sending', 'waiting', 'response', 'sink'] as const)(
    'when its signal is aborted, in the phase "%s"',
    (phase) =>
      withServer(
        async (connection, { reactor }) => {
          if (phase === 'sending') await reactor.select({}, 60_000, { signal: reactor.draining });
          await header(connection);
          if (phase === 'response' || phase === 'sink')
            await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
          await connection.receive('*a');
        },
        async (ask, { reactor }) => {
          const controller = new AbortController();
          const { signal } = controller;
          const mine = new Error('enough');
          const abort = (): void => {
            controller.abort(mine);
          };
          const forever = new PassThrough();
          const silent = await reactor.listen({ host, port: 0 });
          if (phase === 'before') abort();
          const source = async function* (): AsyncGenerator<Uint8Array> {
            yield Buffer.from('first');
            setImmediate(abort);
            await once(forever, 'end');
          };
          const asking = failureOf(
            ask('/', {
              signal,
              ...(phase === 'handshake' ? { url: `https://${host}:${String(portOf(silent))}/` } : {}),
              ...(phase === 'source' ? { body: source() } : {}),
              ...(phase === 'sending' ? { body: new Uint8Array(64 << 20) } : {}),
              ...(phase === 'response'
                ? {
                    onProgress: () => {
                      setImmediate(abort);
                    },
                  }
                : {}),
              ...(phase === 'sink'
                ? {
                    sink: () => {
                      setImmediate(abort);
                      return once(forever, 'end');
                    },
                  }
                : {}),
            }),
          );
          if (phase === 'handshake' || phase === 'sending' || phase === 'waiting') {
            await reactor.select({}, 100);
            abort();
          }
          const failure = await asking;
          expect(failure).toBeInstanceOf(AbortError);
          expect(failure.cause).toBe(mine);
          if (phase === 'response') expect(textOf(failure.partial)).toBe('half');
          forever.destroy();
          silent.close();
          if (phase === 'sending') reactor.abort();
        },
      ),
  );
});

describe('a request closes its source', () => {
  /** A source of each kind, with a function that tells whether it is closed. */
  const bodies: [kind: string, make: () => readonly [body: https.Body, isClosed: () => boolean]][] = [
    [
      'a file stream',
      () => {
        const stream = createReadStream(fileOf('body.txt', 'some'));
        return [stream, () => stream.closed];
      },
    ],
    [
      'a stream that hangs',
      () => {
        const stream = new PassThrough();
        return [stream, () => stream.destroyed];
      },
    ],
    [
      'an iterable that hangs',
      () => {
        let closed = false;
        const iterator = {
          next: () => new Promise<IteratorResult<string>>(() => undefined),
          return: () => {
            closed = true;
            return Promise.reject(new Error('ignored'));
          },
          [Symbol.asyncIterator]: () => iterator,
        };
        return [iterator, () => closed];
      },
    ],
    [
      'a generator that has not started',
      () => {
        const generator = (function* () {
          yield 'some';
        })();
        return [generator, () => generator.next().done === true];
      },
    ],
  ];

  it.each(bodies)('%s, when the connection fails or the request is rejected', async (_, make) => {
    await withNodeServer(echo, async (ask, { reactor, url }) => {
      const port = new URL(url).port;
      const ways: ((body: https.Body) => Promise<unknown>)[] = [
        (body) => https.request(reactor, 'https://127.0.0.1:1/', body),
        (body) => https.request(reactor, `https://localhost:${port}/`, body),
        (body) => ask('/', { body, signal: AbortSignal.abort() }),
        (body) => ask('/', { body, method: 'connect' }),
        (body) => ask('/', { body, timeouts: { totalMs: NaN } }),
      ];
      for (const way of ways) {
        const [body, isClosed] = make();
        await failureOf(way(body));
        await vi.waitUntil(isClosed, { interval: 1 });
      }
    });
  });

  it.each(bodies.slice(1, 3))('%s, when the request fails while it waits for the source', (_, make) =>
    withNodeServer(
      (asked, answer) => {
        asked.on('error', () => undefined);
        answer.on('error', () => undefined);
      },
      async (ask) => {
        const [body, isClosed] = make();
        expect(await failureOf(ask('/', { body, timeouts: { totalMs: 300 } }))).toBeInstanceOf(OperationTimeoutError);
        expect(isClosed()).toBe(true);
      },
    ),
  );

  it('but not a source that has ended or thrown by itself', () =>
    withNodeServer(
      (asked, answer) => {
        asked.on('error', () => undefined).pipe(answer);
      },
      async (ask) => {
        let returns = 0;
        const source = (last: () => IteratorResult<string>): Iterable<string> => {
          const results = [() => ({ value: 'some' }), last];
          return {
            [Symbol.iterator]: () => ({
              next: () => (results.shift() ?? last)(),
              return: () => {
                returns++;
                return { done: true, value: undefined };
              },
            }),
          };
        };
        expect(textOf((await ask('/', { body: source(() => ({ done: true, value: undefined })) })).body)).toBe('some');
        const mine = new Error('mine');
        expect(
          await failureOf(
            ask('/', {
              body: source(() => {
                throw mine;
              }),
            }),
          ),
        ).toBe(mine);
        expect(returns).toBe(0);
        expect(await failureOf(ask('/', { body: source(() => ({ value: 7 as never })) }))).toBeInstanceOf(TypeError);
        expect(returns).toBe(1);
      },
    ));
});

it('a request leaves no listener on its abort signal', () =>
  withNodeServer(echo, async (ask) => {
    const { signal } = new AbortController();
    const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
    for (let index = 0; index < 3; index++) await ask('/', { signal });
    expect(added.mock.calls.length).toBeGreaterThan(0);
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      expect.arrayContaining(added.mock.calls.map(([, listener]) => listener)),
    );
  }));
