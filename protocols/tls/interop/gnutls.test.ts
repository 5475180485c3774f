/** Interoperability with GnuTLS, an independent implementation of TLS: `gnutls-cli` and `gnutls-serv`. */

import { describe, expect, it } from 'vitest';

import type { TlsClientOptions, TlsServerOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, failuresOf } from '../../testing/tls/pair.ts';
import { call, chat, host, part, visit } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing, portOfProcess, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const caFile = fileOf('authority.pem', authority.pem);
const site = authority.issue({ names: ['localhost'] });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };
const person = authority.issue({ names: ['somebody@example.org'], purpose: 'client' });
const identity = { certificate: { pem: person.certificate }, key: { pem: person.key } };
const showPerson = [
  '--x509certfile',
  fileOf('person.pem', person.certificate),
  '--x509keyfile',
  fileOf('person.key', person.key),
];
const showSite = [
  '--x509certfile',
  fileOf('site.pem', site.certificate),
  '--x509keyfile',
  fileOf('site.key', site.key),
];
const key = Buffer.alloc(32, 7);
const none = { certificate: undefined, key: undefined };

const only = (version: 'TLSv1.2' | 'TLSv1.3', more = ''): string[] => [
  '--priority',
  `NORMAL:-VERS-ALL:+VERS-${version.replace('v', '')}${more}`,
];
const withKeys = ':+ECDHE-PSK:+DHE-PSK:-RSA';
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Starts gnutls-cli, which connects to a server of ours; @returns both ends before the handshake. */
async function visited(
  secure: SecureReactor,
  options: Partial<TlsServerOptions>,
  ...args: string[]
): Promise<{ program: Program; connection: SecureConnection }> {
  const server = await secure.server({ ...own, ...options });
  return visit(
    secure,
    server,
    (port) =>
      new Program(
        'gnutls-cli',
        '--port',
        String(port),
        '--x509cafile',
        caFile,
        '--sni-hostname',
        'localhost',
        '--verify-hostname',
        'localhost',
        '--noticket',
        ...args,
        host,
      ),
  );
}

/** Like `visited`, after the handshake. */
async function shaken(...args: Parameters<typeof visited>): ReturnType<typeof visited> {
  const met = await visited(...args);
  await met.connection.handshake();
  await met.program.saysNext(/Simple Client Mode/);
  return met;
}

/** Connects to gnutls-serv, which echoes each line. */
async function called(
  secure: SecureReactor,
  options: TlsClientOptions,
  ...args: string[]
): Promise<{ program: Program; connection: SecureConnection }> {
  const program = new Program('gnutls-serv', '--port', '0', '--echo', '--noticket', ...args);
  // gnutls-serv listens on IPv4 and on IPv6, each with another port.
  await program.saysNext(/listening on IPv4 \S+ port \d+\.\.\.done/);
  return {
    program,
    connection: await call(secure, portOfProcess(program.pid), await secure.client({ ca, ...options })),
  };
}

async function echo(connection: SecureConnection, line = 'there and back'): Promise<void> {
  await connection.send(`${line}\n`);
  expect(await connection.receive()).toBe(line);
}

async function leave({ connection, program }: { program: Program; connection: SecureConnection }): Promise<void> {
  await connection.close();
  await program.kill();
}

/** Asserts that both sides have the same channel bindings. */
async function expectSameBindings(connection: SecureConnection, program: Program): Promise<void> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  await program.says(new RegExp(`'tls-server-end-point': ${hex(connection.channelBinding('tls-server-end-point'))}`));
  await program.says(new RegExp(`'tls-exporter': ${hex(connection.channelBinding('tls-exporter'))}`));
}

describe.skipIf(!isInstalled('gnutls-cli')).each(versions)(
  `gnutls-cli, under %s,${missing('gnutls-cli')}`,
  (version) => {
    it('trusts our server, and has the same channel bindings and keying material', () =>
      withSecureReactor(async (secure) => {
        const { program, connection } = await shaken(
          secure,
          {},
          ...only(version),
          '--verbose',
          '--keymatexport',
          'EXPORTER-test',
          '--keymatexportsize',
          '40',
        );
        expect(program.output).toContain('- Status: The certificate is trusted');
        expect(connection.info()).toMatchObject({ protocol: version, serverName: 'localhost' });
        await expectSameBindings(connection, program);
        await program.says(
          new RegExp(
            `Key material: ${Buffer.from(connection.exportKeyingMaterial(40, 'EXPORTER-test')).toString('hex')}`,
          ),
        );
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
      }));

    it('gets the certificate for the name that it sends', () =>
      withSecureReactor(async (secure) => {
        const other = authority.issue({ names: ['other.test'] });
        const serverNames = {
          'other.test': await secure.server({ certificate: { pem: other.certificate }, key: { pem: other.key } }),
        };
        const { program, connection } = await shaken(
          secure,
          { serverNames },
          ...only(version),
          '--sni-hostname',
          'other.test',
          '--verify-hostname',
          'other.test',
        );
        expect(program.output).toContain("subject `CN=other.test'");
        expect(await part(connection, program)).toBe(0);
      }));

    it('negotiates an application protocol with us, or is refused', () =>
      withSecureReactor(async (secure) => {
        const { program, connection } = await shaken(
          secure,
          { alpn: ['h2', 'http/1.1'] },
          ...only(version),
          '--alpn',
          'http/1.1',
          '--alpn',
          'h2',
        );
        expect(program.output).toContain('- Application protocol: h2\n');
        expect(await part(connection, program)).toBe(0);
        const refused = await visited(secure, { alpn: ['h2'] }, ...only(version), '--alpn', 'other');
        await expect(refused.connection.handshake()).rejects.toMatchObject({ alert: 120, side: 'local' });
        await refused.program.says(/No common application protocol|\[120\]/);
        await refused.program.exit();
      }));

    it('presents its certificate, and is refused without one', () =>
      withSecureReactor(async (secure) => {
        const strict = { ca, verify: ['peer', 'fail_if_no_peer_cert'] } as const;
        const { program, connection } = await shaken(secure, strict, ...only(version), ...showPerson);
        expect(connection.verification()).toMatchObject({ ok: true, result: 'OK' });
        expect(connection.peerCertificate()?.checkEmail('somebody@example.org')).toBe('somebody@example.org');
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
        const refused = await visited(secure, strict, ...only(version));
        await expect(refused.connection.handshake()).rejects.toMatchObject({
          reason: 'peer did not return a certificate',
        });
        await refused.program.says(/[Ff]atal alert/);
        await refused.program.exit();
      }));

    it('connects with a shared key, and with no other key', () =>
      withSecureReactor(async (secure) => {
        const psk = (name: string) => (name === 'me' ? key : undefined);
        const { program, connection } = await visited(
          secure,
          { ...none, psk },
          ...only(version, withKeys),
          '--pskusername',
          'me',
          '--pskkey',
          key.toString('hex'),
        );
        await connection.handshake();
        expect(connection.info().protocol).toBe(version);
        if (version === 'TLSv1.3') {
          await program.saysNext(/Simple Client Mode/);
          await chat(connection, program);
          expect(await part(connection, program)).toBe(0);
        } else {
          // gnutls-cli 3.7 crashes when it prints the properties of such a connection.
          expect(connection.info().authentication).toBe('PSK');
          abort(connection);
          await program.exit();
        }
        const refused = await visited(
          secure,
          { ...none, psk },
          ...only(version, withKeys),
          '--pskusername',
          'me',
          '--pskkey',
          Buffer.alloc(32, 8).toString('hex'),
        );
        await expect(refused.connection.handshake()).rejects.toMatchObject({ name: 'TlsError', side: 'local' });
        await refused.program.exit();
      }));
  },
);

describe.skipIf(!isInstalled('gnutls-cli'))(`gnutls-cli in the middle of a connection${missing('gnutls-cli')}`, () => {
  it('renegotiates under TLS 1.2 where it is allowed to', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(
        secure,
        { allowPeerRenegotiations: 1 },
        ...only('TLSv1.2'),
        '--inline-commands',
      );
      const before = connection.finished();
      const received = connection.receive();
      program.write('^renegotiate^\n');
      await program.saysNext(/ReHandshake was completed/);
      program.write('goes on\n');
      expect(await received).toBe('goes on');
      expect(connection.finished().remote).not.toEqual(before.remote);
      expect(connection.statistics.renegotiations).toBe(1);
      expect(await part(connection, program)).toBe(0);
    }));

  it('is refused a renegotiation under TLS 1.2 by default', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(secure, {}, ...only('TLSv1.2'), '--inline-commands');
      const received = failuresOf(connection.receive());
      program.write('^renegotiate^\n');
      // gnutls-cli retries until it gives up by itself.
      expect(await received).toMatchObject([{ name: 'TlsError', side: 'remote' }]);
      await program.saysNext(/Received alert \[100\]: No renegotiation is allowed/);
      expect(connection.statistics.renegotiations).toBe(0);
      abort(connection);
      await program.exit();
    }));

  it('follows when we renegotiate under TLS 1.2', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(secure, {}, ...only('TLSv1.2'));
      await chat(connection, program);
      await connection.renegotiate();
      expect(connection.statistics.renegotiations).toBe(1);
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }));

  it.each(['rekey1', 'rekey'])('updates the keys by the command %s under TLS 1.3', (command) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(secure, {}, ...only('TLSv1.3'), '--inline-commands');
      const received = connection.receive();
      program.write(`^${command}^\n`);
      await program.saysNext(/Rekey was completed/);
      program.write('under new keys\n');
      expect(await received).toBe('under new keys');
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }),
  );

  it.each([
    ['on our side', false],
    ['on both sides', true],
  ] as const)('follows when we update the keys %s', (_, peerToo) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(secure, {}, ...only('TLSv1.3'));
      await connection.updateKeys({ peerToo });
      await chat(connection, program);
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }),
  );

  it.each(versions)('presents its certificate when we request it later, under %s', (version) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await shaken(
        secure,
        { ca },
        ...only(version),
        '--post-handshake-auth',
        ...showPerson,
      );
      expect(connection.peerCertificate()).toBeUndefined();
      await connection.requestClientCertificate();
      expect(connection.peerCertificate()?.checkEmail('somebody@example.org')).toBe('somebody@example.org');
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }),
  );
});

describe.skipIf(!isInstalled('gnutls-serv')).each(versions)(
  `gnutls-serv, under %s,${missing('gnutls-serv')}`,
  (version) => {
    it('is trusted by our client, and has the same channel bindings and keying material', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          {},
          ...only(version),
          ...showSite,
          '--disable-client-cert',
          '--keymatexport',
          'EXPORTER-test',
          '--keymatexportsize',
          '40',
        );
        await met.connection.handshake();
        expect(met.connection.info()).toMatchObject({ protocol: version, serverName: 'localhost', group: 'x25519' });
        expect(met.connection.verification()).toMatchObject({ ok: true, result: 'OK' });
        await echo(met.connection);
        await expectSameBindings(met.connection, met.program);
        await met.program.says(
          new RegExp(
            `Key material: ${Buffer.from(met.connection.exportKeyingMaterial(40, 'EXPORTER-test')).toString('hex')}`,
          ),
        );
        await leave(met);
      }));

    it('refuses a server name that is not its own', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          {},
          ...only(version),
          ...showSite,
          '--sni-hostname',
          'other.test',
          '--sni-hostname-fatal',
        );
        await expect(met.connection.handshake()).rejects.toMatchObject({
          name: 'TlsError',
          side: 'remote',
          alert: 112,
        });
        await leave(met);
      }));

    it('negotiates an application protocol with our client, or refuses it', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          { alpn: ['http/1.1', 'h2'] },
          ...only(version),
          ...showSite,
          '--alpn',
          'h2',
          '--alpn-fatal',
        );
        await met.connection.handshake();
        expect(met.connection.info().alpn).toBe('h2');
        await leave(met);
        const refused = await called(
          secure,
          { alpn: ['other'] },
          ...only(version),
          ...showSite,
          '--alpn',
          'h2',
          '--alpn-fatal',
        );
        await expect(refused.connection.handshake()).rejects.toMatchObject({
          name: 'TlsError',
          side: 'remote',
          alert: 120,
        });
        await leave(refused);
      }));

    it('verifies our certificate, and refuses us without one', () =>
      withSecureReactor(async (secure) => {
        const strict = ['--require-client-cert', '--verify-client-cert', '--x509cafile', caFile];
        const met = await called(secure, identity, ...only(version), ...showSite, ...strict);
        await echo(met.connection);
        await met.program.says(/CN=somebody@example.org/);
        await leave(met);
        const refused = await called(secure, {}, ...only(version), ...showSite, ...strict);
        // Under TLS 1.2 GnuTLS has no alert of its own for it.
        const [failure] = await failuresOf(refused.connection.receive());
        expect(failure).toMatchObject({
          name: 'TlsError',
          side: 'remote',
          ...(version === 'TLSv1.3' ? { alert: 116 } : {}),
        });
        await leave(refused);
      }));

    it('accepts us with a shared key', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          { psk: { identity: 'me', key } },
          ...only(version, withKeys),
          '--pskpasswd',
          fileOf('keys.psk', `me:${key.toString('hex')}\n`),
          '--disable-client-cert',
        );
        await met.connection.handshake();
        expect(met.connection.peerCertificate()).toBeUndefined();
        expect(met.connection.info().protocol).toBe(version);
        await echo(met.connection);
        await leave(met);
      }));
  },
);

describe.skipIf(!isInstalled('gnutls-serv'))(
  `gnutls-serv in the middle of a connection${missing('gnutls-serv')}`,
  () => {
    it('renegotiates with us under TLS 1.2 when it requests that', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          { allowPeerRenegotiations: 1 },
          ...only('TLSv1.2'),
          ...showSite,
          '--disable-client-cert',
        );
        await met.connection.handshake();
        const before = met.connection.finished();
        await met.connection.send('**REHANDSHAKE**\n');
        expect(await met.connection.receive()).toBe('Successfully executed command');
        await echo(met.connection);
        expect(met.program.output).toContain('Sending rehandshake request');
        expect(met.connection.statistics.renegotiations).toBe(1);
        expect(met.connection.finished().local).not.toEqual(before.local);
        await leave(met);
      }));

    it('is refused a renegotiation by default, and gives up', () =>
      withSecureReactor(async (secure) => {
        const met = await called(secure, {}, ...only('TLSv1.2'), ...showSite, '--disable-client-cert');
        await met.connection.handshake();
        await met.connection.send('**REHANDSHAKE**\n');
        expect(await met.connection.receive()).toBe('Successfully executed command');
        expect(await failuresOf(met.connection.receive())).toMatchObject([{ name: 'TruncatedError' }]);
        expect(met.connection.statistics.renegotiations).toBe(0);
        await met.program.says(/A TLS warning alert has been received/);
        await leave(met);
      }));

    it('renegotiates with us under TLS 1.2 when we begin', () =>
      withSecureReactor(async (secure) => {
        const met = await called(secure, {}, ...only('TLSv1.2'), ...showSite, '--disable-client-cert');
        await met.connection.handshake();
        await echo(met.connection);
        await met.connection.renegotiate();
        expect(met.connection.statistics.renegotiations).toBe(1);
        await echo(met.connection);
        await leave(met);
      }));

    it('requests our certificate later under TLS 1.3', () =>
      withSecureReactor(async (secure) => {
        const met = await called(
          secure,
          identity,
          ...only('TLSv1.3'),
          ...showSite,
          '--disable-client-cert',
          '--x509cafile',
          caFile,
        );
        await met.connection.handshake();
        await met.connection.send('**REAUTH**\n');
        expect(await met.connection.receive()).toBe('Successfully executed command');
        // gnutls-serv echoes again only after it has received a certificate.
        await echo(met.connection);
        await leave(met);
      }));

    it.each([
      ['on our side', false],
      ['on both sides', true],
    ] as const)('follows when we update the keys %s under TLS 1.3', (_, peerToo) =>
      withSecureReactor(async (secure) => {
        const met = await called(secure, {}, ...only('TLSv1.3'), ...showSite, '--disable-client-cert');
        await met.connection.handshake();
        await met.connection.updateKeys({ peerToo });
        await echo(met.connection);
        await echo(met.connection, 'once more');
        await leave(met);
      }),
    );
  },
);
