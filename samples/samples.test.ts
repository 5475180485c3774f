import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { selfSigned } from '../protocols/tls/certificates/self-signed.ts';
import { localhost } from '../protocols/testing/tls/secure-reactor.ts';
import { compiledOf } from '../reactor/testing/compiled.ts';
import { certificateFiles, fileOf, isInstalled, Program } from '../protocols/testing/tls/program.ts';

const run = [compiledOf(new URL('../scripts/sample.ts', import.meta.url))];

async function start(...args: string[]): Promise<{ program: Program; port: number }> {
  const program = new Program(process.execPath, ...run, ...args);
  const [first, port] = await program.says(/^listening \S+:(\d+)\n/);
  expect(program.output.startsWith(first)).toBe(true);
  return { program, port: Number(port) };
}

/** Sends `lines` one after the other, and expects each to come back. */
async function expectEcho(socket: ReturnType<typeof connect>, ...lines: string[]): Promise<void> {
  socket.setEncoding('utf8');
  for (const line of lines) {
    socket.write(line);
    let answer = '';
    while (answer.length < line.length) answer += String((await once(socket, 'data'))[0]);
    expect(answer).toBe(line);
  }
}

/** Asserts that `openssl s_client` gets its line back, over TLS 1.2 and 1.3. */
async function expectOpenssl(port: number): Promise<void> {
  for (const version of ['-tls1_2', '-tls1_3']) {
    const client = new Program('openssl', 's_client', '-connect', `127.0.0.1:${String(port)}`, '-quiet', version);
    client.write('from s_client\n');
    await client.says(/^from s_client$/m);
    await client.kill();
  }
}

async function expectDrain(program: Program): Promise<void> {
  const killed = program.kill('SIGTERM');
  await killed;
  expect(await program.exit()).toBe(0);
}

describe.each(['echo', 'select-echo'])('the sample %s', (name) => {
  it('echoes to several clients, also 3 MB at once', async () => {
    const { program, port } = await start(name, '--port', '0');
    const clients = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    await Promise.all(
      clients.map((client, index) => expectEcho(client, `I am ${String(index)}\n`, 'x'.repeat(3_000_000))),
    );
    for (const client of clients) client.end();
    await Promise.all(clients.map((client) => once(client, 'close')));
    await expectDrain(program);
  });

  it('keeps serving after a client resets', async () => {
    const { program, port } = await start(name);
    const bad = connect(port, '127.0.0.1');
    await expectEcho(bad, 'once\n');
    bad.resetAndDestroy();
    const good = connect(port, '127.0.0.1');
    await expectEcho(good, 'still here\n');
    good.destroy();
    await expectDrain(program);
  });
});

describe('the sample tls-echo', () => {
  it('serves node:tls, and survives garbage', async () => {
    const { program, port } = await start('tls-echo');
    const garbage = connect(port, '127.0.0.1');
    garbage.on('error', () => undefined).write('garbage garbage garbage');
    await program.says(/the peer does not speak TLS/);
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    await expectEcho(socket, 'over TLS\n');
    socket.end();
    await expectDrain(program);
  });

  it.skipIf(!isInstalled('openssl'))('serves openssl', async () => {
    const { program, port } = await start('tls-echo');
    await expectOpenssl(port);
    await expectDrain(program);
  });

  it.skipIf(!isInstalled('curl'))('serves curl', async () => {
    const { program, port } = await start('tls-echo');
    const client = new Program(
      'curl',
      '--silent',
      '--insecure',
      '--http0.9',
      '--max-time',
      '1',
      `https://127.0.0.1:${String(port)}/`,
    );
    await client.says(/^GET \/ HTTP\/1.1$/m);
    await client.kill();
    await expectDrain(program);
  });

  it('uses a given certificate', async () => {
    const { certificate, key } = certificateFiles();
    const { program, port } = await start('tls-echo', '--certificate', certificate, '--key', key);
    const socket = tlsConnect({ port, host: '127.0.0.1', servername: 'localhost', ca: localhost.certificate });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
    await expectDrain(program);
  });
});

describe('the sample https-server', () => {
  it.skipIf(!isInstalled('curl'))('answers curl twice over one connection', async () => {
    const { program, port } = await start('https-server');
    const url = `https://127.0.0.1:${String(port)}`;
    const client = new Program(
      'curl',
      '--silent',
      '--show-error',
      '--insecure',
      '--write-out',
      '%{num_connects}\n',
      `${url}/hello`,
      `${url}/again`,
    );
    expect(await client.exit()).toBe(0);
    expect(client.output).toMatch(/^GET \/hello over TLSv1.3, (\S+)\n1\nGET \/again over TLSv1.3, \1\n0\n$/);
    await expectDrain(program);
  });

  it('drains while a client keeps its connection open, and survives garbage', async () => {
    const { program, port } = await start('https-server');
    const garbage = connect(port, '127.0.0.1');
    garbage.on('error', () => undefined).write('garbage garbage garbage');
    await program.says(/the peer does not speak TLS/);
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    socket.setEncoding('utf8').write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    let answer = '';
    while (!/\r\n\r\nGET \/ over TLSv1.3, \S+\n$/.test(answer)) answer += String((await once(socket, 'data'))[0]);
    const closed = once(socket, 'close');
    await expectDrain(program);
    await closed;
  });

  it('ends a connection whose request is too slow: in its header or its body, the first request or a later one', async () => {
    const { program, port } = await start('https-server', '--request-ms', '400');
    const drips = async (...begins: string[]): Promise<string> => {
      const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false });
      let heard = '';
      socket
        .on('error', () => undefined)
        .setEncoding('utf8')
        .on('data', (text: string) => {
          heard += text;
        });
      await once(socket, 'secureConnect');
      for (const [index, begin] of begins.entries()) {
        socket.write(begin);
        if (index < begins.length - 1) while (!heard.endsWith('\n')) await once(socket, 'data');
      }
      const dripping = setInterval(() => socket.write('x'), 50);
      // Bytes that are sent to a closed connection are answered with a reset.
      await new Promise((resolve) => socket.once('close', resolve));
      clearInterval(dripping);
      return heard;
    };
    const [first, body, later] = await Promise.all([
      drips('GET / HTTP/1.1\r\nHost: x\r\nX-Name: '),
      drips('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'),
      drips('GET /one HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /two HTTP/1.1\r\nHost: x\r\nX-Name: '),
    ]);
    expect([first, body]).toEqual(['', '']);
    expect(later).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*\r\n\r\nGET \/one over [^\n]*\n$/);
    await expectDrain(program);
  });

  it('closes an idle connection and one with an unfinished request before the time limit of the drain', async () => {
    const { program, port } = await start('https-server');
    const sockets = await Promise.all(
      ['', 'GET / HT'].map(async (begin) => {
        const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false });
        await once(socket, 'secureConnect');
        await new Promise((resolve) => socket.write(begin, resolve));
        return socket;
      }),
    );
    const startedAt = performance.now();
    const closed = Promise.all(sockets.map((socket) => once(socket, 'close')));
    await expectDrain(program);
    await closed;
    // A drain may take 10 seconds, and then aborts the connections that are left.
    expect(performance.now() - startedAt).toBeLessThan(8_000);
  });

  it('rejects an invalid --request-ms', async () => {
    const program = new Program(process.execPath, ...run, 'https-server', '--request-ms', 'soon');
    expect(await program.exit()).toBe(2);
    expect(program.output).toBe('https-server: --request-ms must be a number of milliseconds, not soon\n');
  });
});

describe('the sample https-get', () => {
  const { certificate } = certificateFiles();

  async function get(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, [...run, 'https-get', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code: child.exitCode, out, err };
  }

  /** Calls `use` with the URL of a server that answers with the method, a header and the body of the request. */
  async function withSite(use: (url: string) => Promise<void>): Promise<void> {
    const server = createHttpsServer({ cert: localhost.certificate, key: localhost.key }, (asked, answer) => {
      void text(asked).then((body) => {
        if (asked.url === '/large') answer.end(Buffer.alloc(4 << 20, 'x'));
        else
          answer
            .writeHead(asked.url === '/' ? 200 : 404, { 'X-Kind': 'echo' })
            .end(`${String(asked.method)} ${String(asked.headers['x-name'])} ${body}\n`);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    await use(`https://localhost:${String((server.address() as AddressInfo).port)}`);
    server.close();
  }

  it('writes the page to standard output, and the status and headers to standard error', () =>
    withSite(async (url) => {
      const [page, posted, missing] = await Promise.all([
        get(`${url}/`, '--ca', certificate, '--header', 'X-Name: value: with colon'),
        get(
          `${url}/`,
          '--insecure',
          '--header',
          'x-name:a',
          '--header',
          'Accept: b',
          '--header',
          'X-Name: c: d',
          '--data',
          'text',
        ),
        get(`${url}/missing`, '--insecure'),
      ]);
      expect(page).toMatchObject({
        code: 0,
        out: 'GET value: with colon \n',
        err: expect.stringMatching(/^HTTP\/1.1 200 OK\nx-kind: echo\n[^]*\n$/),
      });
      expect(posted).toMatchObject({ code: 0, out: 'POST a, c: d text\n' });
      expect(missing).toMatchObject({ code: 0, err: expect.stringMatching(/^HTTP\/1.1 404 Not Found\n/) });
    }));

  it('works in a pipe whose reader takes everything, and in one whose reader stops early', () =>
    withSite(async (url) => {
      const piped = async (into: string): Promise<string> => {
        const command = [process.execPath, ...run, 'https-get', `${url}/large`, '--insecure']
          .map((arg) => `'${arg}'`)
          .join(' ');
        const shell = spawn('sh', ['-c', `${command} | ${into}`], { stdio: ['ignore', 'pipe', 'pipe'] });
        const [out, err] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'close')]);
        return `${out.trim()} ${err.split('\n').at(-2) ?? ''}`;
      };
      expect(await piped('wc -c')).toBe('4194304 content-length: 4194304');
      expect(await piped('head -c 3')).toBe('xxx https-get: write EPIPE');
    }));

  it.each([
    [['http://localhost/'], 2, 'https-get: which page? Such as: https://example.org/\n'],
    [[], 2, 'https-get: which page? Such as: https://example.org/\n'],
    [['https://localhost:1/', '--header', 'nonsense'], 2, "https-get: --header must be 'NAME: VALUE', not nonsense\n"],
    [['https://localhost:1/', '--header', 'x y: z'], 1, 'https-get: Header name must be a valid HTTP token ["x y"]\n'],
    [
      ['https://localhost:1/', '--ca', '/no/such.pem'],
      1,
      'https-get: cannot read the CA certificates /no/such.pem: no such file\n',
    ],
    [['https://localhost:1/'], 1, /^https-get: connect ECONNREFUSED: .*\n$/],
    [['https://me:secret@localhost:1/'], 1, /^https-get: https.request takes no user and password .*\n$/],
  ])('answers %j with one clear line and exit code %i', async (args, code, says) => {
    const { code: exited, out, err } = await get(...args);
    expect([exited, out]).toEqual([code, '']);
    expect(err).toMatch(typeof says === 'string' ? new RegExp(`^${says.replace(/[?.[\]]/g, '\\$&')}$`) : says);
  });

  it('reports why it does not trust a server, and prints its help', () =>
    withSite(async (url) => {
      expect(await get(`${url}/`)).toEqual({
        code: 1,
        out: '',
        err: "https-get: the server's certificate is not accepted: self-signed certificate\n",
      });
      const help = await get('--help');
      expect([help.code, help.out]).toEqual([0, expect.stringContaining('npm run sample -- https-get https://')]);
    }));
});

describe('the sample sni', () => {
  it('presents the certificate for each name, and fetches those of customers once', async () => {
    const { program, port } = await start('sni');
    for (const [asked, shown] of [
      ['example.test'],
      ['shop.example.test', '*.example.test'],
      ['red.test'],
      ['red.test'],
      ['other.test', 'localhost'],
    ]) {
      const socket = tlsConnect({ port, host: '127.0.0.1', servername: asked, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      expect(socket.getPeerCertificate().subjectaltname).toBe(`DNS:${shown ?? asked}`);
      expect(String((await once(socket, 'data'))[0])).toBe(`asked for ${asked}, shown ${shown ?? asked}\n`);
      socket.destroy();
    }
    expect(program.output.match(/looking for/g)).toHaveLength(1);
    await expectDrain(program);
  });

  it.skipIf(!isInstalled('openssl'))('prints a command to try it', async () => {
    const { program } = await start('sni');
    const [, ...args] = (await program.says(/^try: (openssl .*)$/m))[1].split(' ');
    const client = new Program('openssl', ...args);
    await client.says(/^asked for shop.example.test, shown \*.example.test$/m);
    await client.kill();
    await expectDrain(program);
  });
});

describe('the sample alpn', () => {
  it('answers each client in the negotiated protocol, and refuses a client without a common one', async () => {
    const { program, port } = await start('alpn');
    const speaking = (ALPNProtocols: string[]): ConnectionOptions => ({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols,
    });
    for (const [offered, agreed, answer] of [
      [['echo', 'shout'], 'shout', 'HELLO\n'],
      [['whisper'], 'whisper', 'hello\n'],
      [[], false, 'Hello\n'],
    ] as const) {
      const socket = tlsConnect(speaking([...offered]));
      await once(socket, 'secureConnect');
      expect(socket.alpnProtocol).toBe(agreed);
      socket.write('Hello\n');
      expect(String((await once(socket, 'data'))[0])).toBe(answer);
      socket.destroy();
    }
    const [refusal] = (await once(tlsConnect(speaking(['h2'])), 'error')) as [Error];
    expect(refusal.message).toContain('no application protocol');
    await program.says(
      /agreed on shout\n[^]*agreed on whisper\n[^]*a client that offers nothing\n[^]*handshake failed: no application protocol\n/,
    );
    await expectDrain(program);
  });
});

describe('the sample client-auth-one-url', () => {
  it.each([
    [[], '1.3', 'extension not received'],
    [['--tls12'], '1.2', 'a certificate is required'],
  ])('requests the certificate for one path only %j', async (args, version, refusal) => {
    const program = new Program(process.execPath, ...run, 'client-auth-one-url', ...args);
    expect(await program.exit()).toBe(0);
    const answers = (who: string, secret: string): string =>
      [
        `${who}, over TLSv${version}:`,
        '  GET /: 200 everybody may see /',
        `  GET /secret: ${secret}`,
        `  GET /secret: ${secret}`,
        '',
      ].join('\n');
    expect(program.output.replace(/^listening .*\n/, '')).toBe(
      answers('alice', '200 the secret is for alice.test') +
        answers('a client without a certificate', `403 ${refusal}`),
    );
  });

  it.skipIf(!isInstalled('openssl')).each(['-tls1_2', '-tls1_3'])(
    'serves openssl with a certificate from a given authority (%s)',
    async (version) => {
      const bob = selfSigned({ names: ['bob.test'] });
      const [certificate, key] = [fileOf('bob.pem', bob.certificate), fileOf('bob.key', bob.key)];
      const { program, port } = await start(
        'client-auth-one-url',
        '--ca',
        certificate,
        ...(version === '-tls1_2' ? ['--tls12'] : []),
      );
      const client = new Program(
        'openssl',
        's_client',
        '-connect',
        `127.0.0.1:${String(port)}`,
        '-enable_pha',
        '-cert',
        certificate,
        '-key',
        key,
        '-quiet',
      );
      client.write('GET /\n');
      await client.says(/^200 everybody may see \/$/m);
      client.write('GET /secret\n');
      await client.says(/^200 the secret is for bob.test$/m);
      await client.kill();
      await expectDrain(program);
    },
  );
});

describe('the sample psk', () => {
  it('greets only the client that has the key', async () => {
    const program = new Program(process.execPath, ...run, 'psk');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(
      /^listening .*\ntry: .*\nsensor-1:\n {2}the server says "hello sensor-1, .*\nsensor-1:\n[^]*\nsensor-9:\n/,
    );
    expect(program.output.match(/^ {2}the server: /gm)).toHaveLength(2);
    expect(program.output.match(/refused/g)).toHaveLength(2);
  });

  it.skipIf(!isInstalled('openssl'))('keeps serving openssl with --port', async () => {
    const { program } = await start('psk', '--port', '0');
    const [, ...args] = (await program.says(/^try: (openssl .*)$/m))[1].split(' ');
    const client = new Program('openssl', ...args);
    client.write('openssl\n');
    await client.says(/^hello openssl, /m);
    await client.kill();
    await expectDrain(program);
  });
});

describe('the sample secure-client', () => {
  it("prints the server's certificate, or in one line why it does not connect", async () => {
    const other = selfSigned({ names: ['other.test'] });
    const servers = [localhost, other].map(({ certificate, key }) =>
      createTlsServer({ cert: certificate, key }, (socket) => socket.on('error', () => undefined).end()).listen(
        0,
        '127.0.0.1',
      ),
    );
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const [good, wrong] = servers.map((server) => String((server.address() as AddressInfo).port));
    const { certificate } = certificateFiles();
    const outcomes = await Promise.all(
      [
        ['localhost', good, '--ca', certificate],
        ['localhost', good],
        ['localhost', wrong, '--ca', fileOf('other.pem', other.certificate)],
        ['localhost'],
        ['localhost', good, '--ca', '/no/such.pem'],
      ].map(async (args) => {
        const program = new Program(process.execPath, ...run, 'secure-client', ...args);
        return [await program.exit(), program.output] as const;
      }),
    );
    for (const server of servers) server.close();
    expect(outcomes).toEqual([
      [0, expect.stringMatching(/^TLSv1.3, TLS_\w+\ncertificate of CN=localhost, /)],
      [1, expect.stringMatching(/^secure-client: .*self-signed certificate\n$/)],
      [1, expect.stringMatching(/^secure-client: .*not for localhost but for DNS:other.test: hostname mismatch\n$/)],
      [2, 'secure-client: which host, and which port? Such as: example.org 443\n'],
      [1, 'secure-client: cannot read the CA certificates /no/such.pem: no such file\n'],
    ]);
  });
});

describe('the samples that run by themselves', () => {
  it('mutual-tls admits the known client, and reports on both sides why it refuses the others', async () => {
    const program = new Program(process.execPath, ...run, 'mutual-tls');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(/^listening .*\nalice:\n {2}the server says "hello alice.test"\na stranger:\n/);
    expect(program.output).toMatch(/the server: .*self-signed certificate\n/);
    expect(program.output).toMatch(/the server: .*did not return a certificate\n/);
    expect(program.output.match(/^ {2}refused: .*alert \d+/gm)).toHaveLength(2);
  });

  it('renegotiate loses nothing during rehandshakes', async () => {
    const program = new Program(process.execPath, ...run, 'renegotiate');
    expect(await program.exit()).toBe(0);
    const size = String(8 * 1024 * 1024);
    for (const side of ['client', 'server']) {
      expect(program.output).toContain(
        `TLSv1.2, ${side}: ${size} bytes out, ${size} in, 6 renegotiations, 0 key updates\n`,
      );
      expect(program.output).toContain(
        `TLSv1.3, ${side}: ${size} bytes out, ${size} in, 0 renegotiations, 3 key updates\n`,
      );
    }
    expect(program.output).toMatch(/^ {2}renegotiate wants to read: \d+ times$/m);
    expect(program.output.match(/nothing was lost/g)).toHaveLength(4);
  });

  it('dane accepts the right record and rejects another', async () => {
    const program = new Program(process.execPath, ...run, 'dane');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(
      /\n_\d+._tcp.localhost. IN TLSA 3 1 1 [0-9a-f]{64}\nwith the right record: the server says "hello", proved by the record at depth 0\nwith the record of another certificate: .*no matching DANE TLSA records\n$/,
    );
  });

  it('pinned rejects the certificate that is not pinned', async () => {
    const program = new Program(process.execPath, ...run, 'pinned');
    expect(await program.exit()).toBe(0);
    const [before, after] = program.output.split('the server shows another certificate now\n');
    expect(before.match(/the server says "hello"/g)).toHaveLength(2);
    expect(after).toMatch(
      /^with the digest of the certificate: the certificate has the digest .*\nwith the digest of the key: the certificate's key has the digest .*\nwith the digest of the next one as well: the server says "hello"\n$/,
    );
  });

  it('keylog writes the secrets of its connection to a file that only its owner can read', async () => {
    const file = fileOf('keys.txt', '');
    const program = new Program(process.execPath, ...run, 'keylog', '--file', file);
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(/\nyou said nobody else can read this\nthe secrets are in .*keys.txt: wireshark /);
    expect(readFileSync(file, 'utf8')).toMatch(/^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/m);
    expect(statSync(file).mode & 0o077).toBe(0);
  });

  it('want prints the wants of a handshake and of a send', async () => {
    const program = new Program(process.execPath, ...run, 'want');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(/^listening .*\nhandshake wants to read\n/);
    expect(program.output).toMatch(/send wants to write\n(?:.*\n)*all is sent; the last byte is 1048575\n/);
  });

  it('property-test finds the planted bug, shrinks it, and passes with the repaired client', async () => {
    const program = new Program(process.execPath, ...run, 'property-test');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(/^the client with the bug: failed after \d+ plans, shrunk \d+ times, to\n/);
    expect(program.output).toContain('wrong answers: one is answered, one is answered');
    expect(program.output).toMatch(/the repaired client: held on 1000 plans\n$/);
  });

  it('timeouts exceeds only the total timeout, and ends with the whole line', async () => {
    const program = new Program(process.execPath, ...run, 'timeouts');
    expect(await program.exit()).toBe(0);
    expect(program.output).toContain('receive timed out (total 500 ms) waiting to read; so far: "a');
    expect(program.output).not.toContain('block 200');
    expect(program.output).toMatch(/the whole line: a peer that types slowly, letter by letter\n$/);
  });
});

describe('the sample resume', () => {
  const line = String.raw`\d+\.\d ms, (\d+) bytes in, \d+ out; `;

  it.each([
    ['TLSv1.3', []],
    ['TLSv1.2', ['--tls1.2']],
  ] as const)('resumes its session under %s, and shows what that saves', async (version, args) => {
    const program = new Program(process.execPath, ...run, 'resume', '--times', '2', ...args);
    expect(await program.exit()).toBe(0);
    const [, ...counts] =
      new RegExp(
        `^full \\(not offered\\): ${line}${version}.*\nresumed: ${line}${version}.*\nresumed: ${line}${version}.*\n$`,
      ).exec(program.output) ?? [];
    expect(counts).toHaveLength(3);
    expect(Number(counts[1])).toBeLessThan(Number(counts[0]) / 2);
  });

  it('keeps the session in a file, for itself and another server', async () => {
    const { program: server, port } = await start('session-server');
    const file = fileOf('kept.pem', '');
    const connect = ['resume', '--connect', `127.0.0.1:${String(port)}`, '--insecure', '--times', '0'];
    for (const [args, outcome] of [
      [['--save', file], /^full \(not offered\)/],
      [['--load', file], /^resumed/],
    ] as const) {
      const program = new Program(process.execPath, ...run, ...connect, ...args);
      expect(await program.exit()).toBe(0);
      expect(program.output).toMatch(outcome);
    }
    expect(readFileSync(file, 'utf8')).toMatch(/^-----BEGIN SSL SESSION PARAMETERS-----/);
    await expectDrain(server);
  });

  it('shares its sessions with other clients through a store', async () => {
    const { program: server, port } = await start('session-server');
    const key = fileOf('key.bin', Buffer.alloc(32, 5));
    const args = [
      'resume',
      '--connect',
      `127.0.0.1:${String(port)}`,
      '--insecure',
      '--times',
      '0',
      '--store',
      `files:${join(key, '..', 'shared')}`,
      '--store-key',
      key,
    ];
    for (const outcome of [/^full \(not offered\)/, /^resumed/, /^resumed/]) {
      const program = new Program(process.execPath, ...run, ...args);
      expect(await program.exit()).toBe(0);
      expect(program.output).toMatch(outcome);
    }
    await expectDrain(server);
  });

  it.each([
    [['--help'], 0, /^Usage: npm run sample -- resume/],
    [['--times', 'often'], 2, /^resume: --times must be a whole number, not often\n$/],
    [['--store', 'memory'], 2, /^resume: --store and --store-key go together\n$/],
  ])('answers %j clearly and with exit code %i', async (args, code, says) => {
    const program = new Program(process.execPath, ...run, 'resume', ...args);
    expect(await program.exit()).toBe(code);
    expect(program.output).toMatch(says);
  });

  it('resumes its session with node:tls', async () => {
    const { certificate, key } = selfSigned();
    const server = createTlsServer({ cert: certificate, key }, (socket) =>
      socket.on('error', () => undefined).end('hello\n'),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const program = new Program(
      process.execPath,
      ...run,
      'resume',
      '--connect',
      `127.0.0.1:${String((server.address() as AddressInfo).port)}`,
      '--insecure',
      '--times',
      '1',
    );
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(/^full .*\nresumed: .*\n$/);
    server.close();
  });
});

describe('the sample session-server', () => {
  /** Connects, exchanges a line, and returns what the server said first and the session. */
  async function visit(
    port: number,
    options: ConnectionOptions = {},
  ): Promise<{ said: string; session: Buffer | undefined }> {
    const socket = tlsConnect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      rejectUnauthorized: false,
      ...options,
    });
    let session: Buffer | undefined;
    socket.on('session', (each: Buffer) => {
      session = each;
    });
    let heard = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    socket.write('a line\n');
    while (!heard.endsWith('a line\n')) await once(socket, 'data');
    socket.end();
    await once(socket, 'close');
    return { said: heard.split('\n')[0], session };
  }

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('resumes sessions in any of its processes, under %s', async (version) => {
    const { program, port } = await start('session-server', '--processes', '3');
    const only = { minVersion: version, maxVersion: version };
    const { said, session } = await visit(port, only);
    expect(said).toBe('not offered');
    // The server saves the session after the handshake, and another process may be asked for it before that.
    while ((await visit(port, { ...only, session })).said !== 'resumed');
    for (let index = 0; index < 12; index++) expect((await visit(port, { ...only, session })).said).toBe('resumed');
    expect(new Set(program.output.match(/^\d+(?=: )/gm)).size).toBeGreaterThan(1);
    await expectDrain(program);
  });

  it('resumes a ticket in every process, whichever process sealed it', async () => {
    const { program, port } = await start('session-server', '--processes', '2', '--resumption', 'stateless');
    const { session } = await visit(port);
    for (let index = 0; index < 8; index++) expect((await visit(port, { session })).said).toBe('resumed');
    await expectDrain(program);
  });

  it('makes only full handshakes with --resumption off', async () => {
    const { program, port } = await start('session-server', '--resumption', 'off');
    const { session } = await visit(port);
    expect((await visit(port, { session })).said).toBe('off');
    await expectDrain(program);
  });

  it.each(['files', 'lmdb'])('keeps sessions in %s after it ends', async (kind) => {
    const folder = join(fileOf('store', ''), '..', kind);
    const args = ['--store', `${kind}:${folder}`, '--store-key', fileOf('key.bin', Buffer.alloc(32, 7))];
    const first = await start('session-server', ...args);
    const { session } = await visit(first.port);
    // The server saves sessions after the handshake. A session that is not saved when the server ends is lost.
    while ((await visit(first.port, { session })).said !== 'resumed');
    await expectDrain(first.program);
    const second = await start('session-server', ...args);
    expect((await visit(second.port, { session })).said).toBe('resumed');
    await expectDrain(second.program);
  });

  it('reports a store that is not running', async () => {
    const { program, port } = await start('session-server', '--store', `unix:${join(tmpdir(), 'nobody.sock')}`);
    const { session } = await visit(port);
    expect((await visit(port, { session })).said).toBe('store failed');
    await expectDrain(program);
  });

  it('ends all of its processes when one does not start to listen', async () => {
    // The first process that creates the folder lives. Each later one exits.
    const folder = join(fileOf('first', ''), '..', 'living');
    const dies = `import { mkdirSync } from 'node:fs'; if (process.send) try { mkdirSync(${JSON.stringify(folder)}); } catch { process.exit(3); }`;
    const program = new Program(
      process.execPath,
      '--import',
      `data:text/javascript,${encodeURIComponent(dies)}`,
      ...run,
      'session-server',
      '--processes',
      '3',
    );
    expect(await program.exit()).toBe(1);
    expect(program.output).toBe('session-server: a process has ended before it listened, with exit code 3\n');
  });

  it.each([
    [['--help'], 0, /^Usage: npm run sample -- session-server/],
    [['--processes', '0'], 2, /^session-server: --processes must be a whole number of 1…64, not 0\n$/],
    [
      ['--resumption', 'sometimes'],
      2,
      /^session-server: --resumption must be stateful, stateless or off, not sometimes\n$/,
    ],
    [['--store', 'drawer'], 2, /^session-server: a session store is memory, files:DIR, .*not drawer\n$/],
    [['--store-key', '/no/such.key'], 1, /^session-server: ENOENT.*\n$/],
  ])('answers %j clearly and with exit code %i', async (args, code, says) => {
    const program = new Program(process.execPath, ...run, 'session-server', ...args);
    expect(await program.exit()).toBe(code);
    expect(program.output).toMatch(says);
  });
});

describe('the sample ticket-rotation', () => {
  it('shows a ticket from its first span to the end of its key', async () => {
    const program = new Program(process.execPath, ...run, 'ticket-rotation');
    expect(await program.exit()).toBe(0);
    expect(program.output.match(/: (not offered|resumed|unknown key)\b/g)).toEqual([
      ': not offered',
      ': resumed',
      ': resumed',
      ': unknown key',
      ': resumed',
    ]);
  });
});

describe('every sample', () => {
  it('prints its first comment for --help', async () => {
    const program = new Program(process.execPath, ...run, 'sni', '--help');
    expect(await program.exit()).toBe(0);
    expect(program.output).toMatch(
      /^One server, many names: [^]*\n {4}npm run sample -- sni --port 7443\n[^]*the system chooses one.\n$/,
    );
  });
});

describe('the proxy', () => {
  it('serves its own echo server over TLS, and prints a command to try it', async () => {
    const { program, port } = await start('proxy', '--listen', '127.0.0.1:0');
    await program.says(new RegExp(`\ntry: openssl s_client -connect 127.0.0.1:${String(port)} -quiet\n`));
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    await expectEcho(socket, 'through the proxy\n', 'y'.repeat(2_000_000));
    socket.end();
    await once(socket, 'close');
    await expectDrain(program);
  });

  it.skipIf(!isInstalled('openssl'))('serves openssl', async () => {
    const { program, port } = await start('proxy', '--listen', '127.0.0.1:0');
    await expectOpenssl(port);
    await expectDrain(program);
  });

  it.skipIf(!isInstalled('curl'))('serves a web server, with and without TLS', async () => {
    const web = createServer((request, response) => response.end(`page ${String(request.url)}`)).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const upstream = `127.0.0.1:${String((web.address() as AddressInfo).port)}`;
    const { certificate, key } = certificateFiles();
    for (const front of [['--plain'], ['--certificate', certificate, '--key', key]]) {
      const { program, port } = await start('proxy', '--listen', 'localhost:0', '--upstream', upstream, ...front);
      const client = new Program(
        'curl',
        '--silent',
        '--show-error',
        '--cacert',
        certificate,
        `${front.includes('--plain') ? 'http' : 'https'}://localhost:${String(port)}/x`,
      );
      expect(await client.exit()).toBe(0);
      expect(client.output).toBe('page /x');
      await program.kill();
    }
    web.close();
  });

  it('drains on the first signal and aborts on the second', async () => {
    const { program, port } = await start('proxy', '--listen', '127.0.0.1:0', '--plain');
    const socket = connect(port, '127.0.0.1');
    await expectEcho(socket, 'before\n');
    const pid = program.pid;
    process.kill(pid, 'SIGINT');
    await program.says(/draining \d+ connections/);
    await expectEcho(socket, 'a drain lets running connections continue\n');
    const closed = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve));
    process.kill(pid, 'SIGINT');
    await closed;
    expect(await program.exit()).toBe(0);
  });

  it('reports no clients that leave before, during or after the handshake without close_notify', async () => {
    const { program, port } = await start('proxy', '--listen', '127.0.0.1:0');
    const begin = (bytes: string): Promise<unknown> => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.write(Buffer.from(bytes, 'hex'));
      socket.end();
      socket.resume();
      return new Promise((resolve) => socket.once('close', resolve));
    };
    await begin('');
    // The header of a record that never comes.
    await begin('1603010200');
    const below = connect(port, '127.0.0.1');
    const client = tlsConnect({ socket: below, rejectUnauthorized: false });
    await once(client, 'secureConnect');
    client.write('a line\n');
    await once(client, 'data');
    below.destroy();
    // This client's error is reported after all that could have been reported about the others.
    const stranger = connect(port, '127.0.0.1').on('error', () => undefined);
    stranger.write('GET / HTTP/1.1\r\n\r\n');
    await program.says(/plain HTTP/);
    expect(program.output.split('\n').filter((line) => line !== '' && !/^(?:listening|try:)/.test(line))).toEqual([
      expect.stringMatching(/plain HTTP/),
    ]);
    await program.kill();
  });

  it('keeps serving when the upstream refuses', async () => {
    const server = createTcpServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port: refused } = server.address() as AddressInfo;
    server.close();
    const { program, port } = await start(
      'proxy',
      '--listen',
      '127.0.0.1:0',
      '--plain',
      '--upstream',
      `127.0.0.1:${String(refused)}`,
    );
    for (let i = 0; i < 2; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await program.says(/connect ECONNREFUSED: connection refused/);
    await expectDrain(program);
  });

  it.each([
    [['--help'], 0, /^Usage: npm start/],
    [['--no-such-option'], 2, /^proxy: Unknown option '--no-such-option'/],
    [['--listen', 'nowhere'], 2, /^proxy: "nowhere" is not an address; write HOST:PORT or/],
    [['--listen', '127.0.0.1:99999'], 2, /^proxy: .*99999/],
    [['--block-ms', 'soon'], 2, /^proxy: --block-ms must be a number of milliseconds, not soon/],
    [['--max-connections', '0'], 2, /^proxy: --max-connections must be/],
    [
      ['--certificate', '/no/such.pem', '--key', '/no/such.key'],
      1,
      /^proxy: cannot read the certificate \/no\/such.pem: no such file/,
    ],
    [['--certificate', '/no/such.pem'], 2, /^proxy: --certificate and --key go together/],
    [['--listen', '192.0.2.1:0'], 1, /^proxy: bind EADDRNOTAVAIL/],
  ])('answers %j with one clear line and exit code %i', async (args, code, line) => {
    const program = new Program(process.execPath, ...run, 'proxy', ...args);
    expect(await program.exit()).toBe(code);
    expect(program.output).toMatch(line);
    if (code !== 0) expect(program.output.trim().split('\n')).toHaveLength(1);
  });

  it.each([
    [['--listen', '[::1]:0'], /^try: openssl s_client -connect \[::1\]:\d+ -quiet$/m],
    [['--listen', '[::1]:0', '--plain'], /^try: nc ::1 \d+$/m],
    [
      ['--listen', join(tmpdir(), `wantio-${String(process.pid)}.socket`)],
      /^try: openssl s_client -unix \S+\.socket -quiet$/m,
    ],
    [['--listen', join(tmpdir(), `wantio-${String(process.pid)}.socket`), '--plain'], /^try: nc -U \S+\.socket$/m],
  ])('prints a command to try it at %j', async (args, hint) => {
    const program = new Program(process.execPath, ...run, 'proxy', ...args);
    await program.says(hint);
    await expectDrain(program);
  });

  it('reports that its port is in use', async () => {
    const { program, port } = await start('proxy', '--listen', '127.0.0.1:0');
    const second = new Program(process.execPath, ...run, 'proxy', '--listen', `127.0.0.1:${String(port)}`);
    expect(await second.exit()).toBe(1);
    expect(second.output).toBe(`proxy: bind EADDRINUSE: address already in use (127.0.0.1:${String(port)})\n`);
    await expectDrain(program);
  });
});

describe('a sample with --port', () => {
  const files = readdirSync(import.meta.dirname).filter((file) => !file.endsWith('.test.ts'));
  const names = files
    .filter((file) => /\bport: \{ type: 'string'/.test(readFileSync(join(import.meta.dirname, file), 'utf8')))
    .map((file) => file.slice(0, -3));

  it('is recognized by the option in its source', () => {
    expect(names).toEqual(
      expect.arrayContaining([
        'alpn',
        'client-auth-one-url',
        'echo',
        'https-server',
        'psk',
        'select-echo',
        'session-server',
        'sni',
        'tls-echo',
      ]),
    );
  });

  it.each(names)('(%s) reports an invalid port in one line', async (name) => {
    const program = new Program(process.execPath, ...run, name, '--port', 'soon');
    expect(await program.exit()).toBe(2);
    expect(program.output).toBe(
      `${name}: "127.0.0.1:soon" is not an address; write HOST:PORT or [IPv6]:PORT with a port of 0…65535, a path with a / or an abstract name after an @\n`,
    );
  });
});
