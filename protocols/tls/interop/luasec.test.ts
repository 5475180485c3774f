/** Interoperability with LuaSec. Its operations never block and report what they want, as ours do. */

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsClientOptions, TlsServerOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { Authority } from '../../testing/tls/authority.ts';
import type { Issued } from '../../testing/tls/authority.ts';
import { call, host, visit } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing as missingPrograms, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { TlsError } from '../tls-error.ts';

const isThere = spawnSync('lua5.3', ['-e', 'require "ssl" require "socket"']).status === 0;
const missing = isThere ? '' : ' (lua5.3 with LuaSec and LuaSocket not installed)';

const authority = new Authority();
const ca = { pem: authority.pem };
const caFile = fileOf('authority.pem', authority.pem);
const site = authority.issue({ names: ['localhost'] });
const other = authority.issue({ names: ['other.test'] });
const person = authority.intermediate().issue({ names: ['somebody@example.org'], purpose: 'client' });
const identity = ({ chain, key }: Issued) => ({ certificate: { pem: chain }, key: { pem: key } });

/** Formats a value in Lua syntax. */
function lua(value: unknown): string {
  if (Array.isArray(value)) return `{ ${value.map(lua).join(', ')} }`;
  if (typeof value === 'object' && value !== null)
    return `{ ${Object.entries(value)
      .map(([name, each]) => `[${JSON.stringify(name)}] = ${lua(each)}`)
      .join(', ')} }`;
  return JSON.stringify(value);
}

const shown = ({ chain, key, serial }: Issued) => ({
  certificate: fileOf(`${String(serial)}.pem`, chain),
  key: fileOf(`${String(serial)}.key`, key),
});
const script = (name: string): string => join(import.meta.dirname, '../../testing/tls/lua', name);

/** Sends a command to the Lua program; @returns its answer. @throws {Error} when the command failed. */
async function ask(program: Program, command: string): Promise<string> {
  program.write(`${command}\n`);
  const [, sign, answer] = await program.saysNext(/^([=!]) (.*)\n/m);
  if (sign === '!') throw new Error(`LuaSec: ${answer}`);
  return answer;
}

interface Met {
  readonly program: Program;
  readonly connection: SecureConnection;
}

/** LuaSec in one role, as a client or as a server. */
interface Role<Ours> {
  meet(secure: SecureReactor, theirs?: object, ours?: Ours, serverName?: string): Promise<Met>;
}

const luaClient: Role<Partial<TlsServerOptions>> = {
  meet: async (secure, theirs, ours, serverName = 'localhost') =>
    visit(
      secure,
      await secure.server({ ...identity(site), ...ours }),
      (port) =>
        new Program(
          'lua5.3',
          script('client.lua'),
          String(port),
          lua({ mode: 'client', verify: 'peer', cafile: caFile, ...theirs }),
          serverName,
        ),
    ),
};

const luaServer: Role<TlsClientOptions> = {
  meet: async (secure, theirs, ours, serverName) => {
    const program = new Program('lua5.3', script('server.lua'), lua({ mode: 'server', ...shown(site), ...theirs }));
    const [, port] = await program.saysNext(/listening (\d+)\n/);
    return { program, connection: await call(secure, Number(port), await secure.client({ ca, ...ours }), serverName) };
  },
};

async function shaken(meeting: Promise<Met>): Promise<Met> {
  const met = await meeting;
  await Promise.all([ask(met.program, 'handshake'), met.connection.handshake()]);
  return met;
}

async function leave({ program, connection }: Met): Promise<void> {
  const [answer, rest] = await Promise.all([ask(program, 'close'), connection.receive('*a')]);
  expect([answer, rest.length]).toEqual(['closed', 0]);
  await connection.close();
  program.end();
  expect(await program.exit()).toBe(0);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const alphabet = (length: number): string =>
  'abcdefghijklmnopqrstuvwxyz'.repeat(Math.ceil(length / 26)).slice(0, length);
const versions = [
  ['TLSv1.2', 'tlsv1_2'],
  ['TLSv1.3', 'tlsv1_3'],
] as const;

describe.skipIf(!isThere).each([
  ['a client', luaClient],
  ['a server', luaServer],
] as const)(`LuaSec as %s${missing}`, (_, { meet }) => {
  describe.each(versions)('under %s', (version, protocol) => {
    it('completes a handshake with us, and reports what the handshake wants', () =>
      withSecureReactor(async (secure) => {
        const met = await meet(secure, { protocol });
        const done = ask(met.program, 'handshake');
        await met.program.says(/handshake wants read/);
        await met.connection.handshake();
        expect(await done).toBe('done');
        expect(met.connection.info().protocol).toBe(version);
        await leave(met);
      }));

    it('reports the same parameters, Finished messages and keying material as we do', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol }));
        const { connection, program } = met;
        const info = connection.info();
        const theirs: Partial<Record<string, string>> = Object.fromEntries(
          (await ask(program, 'info')).split(' ').map((field) => field.split('=') as [string, string]),
        );
        for (const name of [
          'protocol',
          'cipher',
          'bits',
          'algbits',
          'key',
          'authentication',
          'encryption',
          'mac',
          'export',
        ] as const) {
          expect(theirs[name], name).toBe(String(info[name]));
        }
        expect(theirs).not.toHaveProperty('compression');
        const { local, remote } = connection.finished();
        expect(await ask(program, 'finished')).toBe(`${hex(remote)} ${hex(local)}`);
        expect(await ask(program, 'material EXPORTER-test')).toBe(
          hex(connection.exportKeyingMaterial(40, 'EXPORTER-test')),
        );
        await leave(met);
      }));

    it('negotiates a server name and an application protocol with us', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol, alpn: ['http/1.1', 'h2'] }, { alpn: ['h2', 'http/1.1'] }));
        const { alpn, serverName } = met.connection.info();
        // The server's preference wins, and LuaSec's order is not ours.
        expect(alpn).toBe(meet === luaServer.meet ? 'http/1.1' : 'h2');
        expect(await ask(met.program, 'alpn')).toBe(alpn);
        expect(serverName).toBe('localhost');
        if (meet === luaServer.meet) expect(await ask(met.program, 'name')).toBe(serverName);
        await leave(met);
      }));

    it('receives our data with every pattern', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol }));
        const { connection, program } = met;
        await connection.send('a line\r\nrest of a line\n0123456789');
        expect(await ask(program, 'line')).toBe('a line');
        expect(await ask(program, 'line prefix and ')).toBe('prefix and rest of a line');
        expect(await ask(program, 'bytes 4')).toBe('0123');
        const bytes = ask(program, 'bytes 8');
        await program.says(/receive wants read/);
        await connection.send('abcdef');
        expect(await bytes).toBe('456789ab');
        await connection.shutdown('send');
        expect(await ask(program, 'all')).toBe('cdef');
        await leave(met);
      }));

    it('sends data that we receive with every pattern', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol }));
        const { connection, program } = met;
        for (const line of ['first', 'second\r', '0123456789', 'the end']) await ask(program, `send ${line}`);
        expect(await connection.receive()).toBe('first');
        expect(await connection.receive('*l', { prefix: Buffer.from('and ') })).toBe('and second');
        expect(text(await connection.receive(4))).toBe('0123');
        const all = connection.receive('*a');
        await ask(program, 'close');
        expect(text(await all)).toBe('456789\nthe end\n');
        await connection.close();
        program.end();
        expect(await program.exit()).toBe(0);
      }));

    it('continues after a partial send when we begin to receive', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol }));
        const length = 12_000_000;
        const sent = ask(met.program, `flood ${String(length)}`);
        await met.program.says(/send wants write/);
        const received = await met.connection.receive(length);
        expect(await sent).toBe(String(length));
        expect(Buffer.compare(received, Buffer.from(alphabet(length)))).toBe(0);
        await leave(met);
      }));

    it('receives everything that we sent while it did not read', () =>
      withSecureReactor(async (secure) => {
        const met = await shaken(meet(secure, { protocol }));
        const length = 12_000_000;
        const wanted = new Promise<void>((resolve) =>
          met.connection.wants$.subscribe(({ operation, want }) => {
            if (operation === 'send' && want === 'write') resolve();
          }),
        );
        const sent = met.connection.send(Buffer.alloc(length, 'x'));
        await wanted;
        expect(await ask(met.program, `count ${String(length)}`)).toBe(String(length));
        expect(await sent).toBe(length - 1);
        await leave(met);
      }));
  });
});

describe.skipIf(!isThere).each(versions)(
  `LuaSec as a server that refuses every session, under %s,${missing}`,
  (_, protocol) => {
    it('never makes our connect fail', () =>
      withSecureReactor(async (secure) => {
        const program = new Program(
          'lua5.3',
          script('loop.lua'),
          lua({ mode: 'server', protocol, ...shown(site), cafile: caFile, verify: 'peer' }),
        );
        const [, port] = await program.saysNext(/listening (\d+)\n/);
        const client = await secure.client({ ca });
        const outcomes = [];
        for (let visits = 0; visits < 4; visits++) {
          const connection = await secure.reactor.connectSecure({
            host,
            port: Number(port),
            secure: client,
            serverName: 'localhost',
          });
          expect(await connection.receive()).toBe('loop test');
          outcomes.push(connection.resumption);
          await connection.close();
        }
        expect(outcomes).toEqual(['not offered', 'failed', 'failed', 'failed']);
        // After two refusals in a row, the client offered no session any more.
        expect(client.sessions.statistics.resumption).toEqual({ 'not offered': 1, failed: 2 });
        await program.kill();
      }));
  },
);

describe.skipIf(!isThere).each(versions)(`LuaSec and certificates, under %s,${missing}`, (_, protocol) => {
  const digestOf = ({ certificate }: Issued): string =>
    new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();

  it("a LuaSec client and our server see each other's certificates", () =>
    withSecureReactor(async (secure) => {
      const met = await shaken(
        luaClient.meet(secure, { protocol, ...shown(person) }, { ca, verify: ['peer', 'fail_if_no_peer_cert'] }),
      );
      expect(await ask(met.program, 'digest')).toBe(digestOf(site));
      expect(await ask(met.program, 'verification')).toBe('true');
      expect(met.connection.peerCertificate()?.digest('sha256')).toBe(digestOf(person));
      expect(met.connection.verification()).toMatchObject({ ok: true, result: 'OK' });
      expect(met.connection.peerChain()).toHaveLength(2);
      await leave(met);
    }));

  it("a LuaSec server and our client see each other's certificates", () =>
    withSecureReactor(async (secure) => {
      const met = await shaken(
        luaServer.meet(
          secure,
          { protocol, cafile: caFile, verify: ['peer', 'fail_if_no_peer_cert'] },
          identity(person),
        ),
      );
      expect(await ask(met.program, 'digest')).toBe(digestOf(person));
      expect(await ask(met.program, 'verification')).toBe('true');
      expect(met.connection.peerCertificate()?.digest('sha256')).toBe(digestOf(site));
      await leave(met);
    }));

  it('the servers of both refuse a client without the required certificate', () =>
    withSecureReactor(async (secure) => {
      const met = await luaClient.meet(secure, { protocol }, { ca, verify: ['peer', 'fail_if_no_peer_cert'] });
      met.program.write('handshake\nline\n');
      await expect(met.connection.handshake()).rejects.toMatchObject({ reason: 'peer did not return a certificate' });
      await met.program.says(/^! .*alert/m);
      const back = await luaServer.meet(secure, { protocol, cafile: caFile, verify: ['peer', 'fail_if_no_peer_cert'] });
      back.program.write('handshake\n');
      await expect(back.connection.receive()).rejects.toMatchObject({ name: 'TlsError', side: 'remote' });
      await back.program.says(/^! .*certificate/m);
      await Promise.all([met.program.kill(), back.program.kill()]);
    }));

  it('a LuaSec client rejects our certificate from an unknown authority', () =>
    withSecureReactor(async (secure) => {
      const met = await luaClient.meet(secure, { protocol }, identity(new Authority().issue()));
      met.program.write('handshake\n');
      await expect(met.connection.handshake()).rejects.toMatchObject({ name: 'TlsError', side: 'remote', alert: 48 });
      await met.program.says(/^! certificate verify failed/m);
      await met.program.kill();
    }));

  it('a LuaSec client accepts our certificate by a matching TLSA record, and by no other', () =>
    withSecureReactor(async (secure) => {
      const stranger = new Authority().issue({ names: ['localhost'] });
      const met = await shaken(
        luaClient.meet(secure, { protocol, dane: true, tlsa: [[3, 0, 1, digestOf(stranger)]] }, identity(stranger)),
      );
      expect(await ask(met.program, 'verification')).toBe('true');
      await leave(met);
      const refused = await luaClient.meet(
        secure,
        { protocol, dane: true, tlsa: [[3, 0, 1, digestOf(site)]] },
        identity(stranger),
      );
      refused.program.write('handshake\n');
      await expect(refused.connection.handshake()).rejects.toMatchObject({ name: 'TlsError', side: 'remote' });
      await refused.program.kill();
    }));

  it('a LuaSec client gets our certificate for the name that it sends', () =>
    withSecureReactor(async (secure) => {
      const serverNames = { 'other.test': await secure.server(identity(other)) };
      for (const [name, issued] of [
        ['other.test', other],
        ['localhost', site],
      ] as const) {
        const met = await shaken(luaClient.meet(secure, { protocol }, { serverNames }, name));
        expect(await ask(met.program, 'digest')).toBe(digestOf(issued));
        expect(met.connection.info().serverName).toBe(name);
        await leave(met);
      }
    }));

  it('a LuaSec server presents the certificate for the name that we send, and refuses others when it is strict', () =>
    withSecureReactor(async (secure) => {
      const start = async (name: string): Promise<Met> => {
        const program = new Program(
          'lua5.3',
          script('server.lua'),
          lua({ mode: 'server', protocol, ...shown(site) }),
          lua({ 'other.test': { mode: 'server', protocol, ...shown(other) } }),
          'strict',
        );
        const [, port] = await program.saysNext(/listening (\d+)\n/);
        return { program, connection: await call(secure, Number(port), await secure.client({ ca }), name) };
      };
      const met = await shaken(start('other.test'));
      expect(met.connection.peerCertificate()?.checkHost('other.test')).toBe('other.test');
      await leave(met);
      const refused = await start('unknown.test');
      refused.program.write('handshake\n');
      await expect(refused.connection.handshake()).rejects.toMatchObject({
        name: 'TlsError',
        side: 'remote',
        alert: 112,
      });
      await refused.program.kill();
    }));
});

it.skipIf(!isThere)(`LuaSec's https gets a page from our server, with a client certificate${missing}`, () =>
  withSecureReactor(async (secure) => {
    const listener = await secure.reactor.listen({ host, port: 0 });
    listener.serve(
      { secure: await secure.server({ ...identity(site), ca, verify: ['peer', 'fail_if_no_peer_cert'] }) },
      async (connection) => {
        for (let line = await connection.receive(); line !== ''; line = await connection.receive());
        const page = `hello ${connection.peerCertificate()?.checkEmail('somebody@example.org') ?? 'nobody'}\n`;
        await connection.send(
          `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${String(page.length)}\r\n\r\n${page}`,
        );
      },
    );
    const { certificate, key } = shown(person);
    const program = new Program(
      'lua5.3',
      script('https.lua'),
      `https://localhost:${String(portOf(listener))}/`,
      caFile,
      certificate,
      key,
    );
    expect(await program.exit()).toBe(0);
    expect(program.output).toBe('200\nhello somebody@example.org\n');
  }),
);

describe.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'servers that verify clients and set no session id context, under %s:',
  (version) => {
    const protocols = { min: version, max: version };

    it.skipIf(!isThere)(
      `LuaSec's loop sample fails the first two handshakes that offer a session, and then is offered none${missing}`,
      () =>
        withSecureReactor(async (secure) => {
          const program = new Program(
            'lua5.3',
            script('loop.lua'),
            lua({ mode: 'server', protocol: 'any', verify: 'peer', cafile: caFile, ...shown(site) }),
          );
          const [, port] = await program.saysNext(/listening (\d+)\n/);
          const client = await secure.client({ ca, protocols });
          const outcomes = [];
          for (let index = 0; index < 8; index++) {
            const connection = (await secure.reactor.connect({ host, port: Number(port) })).secure(client, {
              serverName: 'localhost',
            });
            try {
              expect(await connection.receive()).toBe('loop test');
              outcomes.push('served');
            } catch (error) {
              outcomes.push(error instanceof TlsError ? `alert ${String(error.alert)}` : String(error));
            }
            connection.abort();
          }
          expect(outcomes).toEqual([
            'served',
            'alert 80',
            'served',
            'alert 80',
            'served',
            'served',
            'served',
            'served',
          ]);
          await program.kill();
        }),
    );

    it.skipIf(!isInstalled('python3'))(`Python's ssl module fails no connection${missingPrograms('python3')}`, () =>
      withSecureReactor(async (secure) => {
        const { certificate, key } = shown(site);
        const program = new Program(
          'python3',
          join(import.meta.dirname, '../../testing/tls/verifying-server.py'),
          certificate,
          key,
          caFile,
          version,
        );
        const [, port] = await program.saysNext(/listening (\d+)\n/);
        const client = await secure.client({ ca, protocols });
        for (let index = 0; index < 4; index++) {
          const connection = await secure.reactor.connectSecure({
            host,
            port: Number(port),
            secure: client,
            serverName: 'localhost',
          });
          expect(await connection.receive()).toBe('loop test');
          await connection.close();
        }
        await program.kill();
      }),
    );
  },
);
