import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as netConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { BusyError, ClosedError } from '../../core/errors.ts';
import { fromDuplex } from '../../reactor/streams/from-duplex.ts';
import { portOf, withReactor } from '../../reactor/testing/with-reactor.ts';
import { Certificate } from './certificates/certificate.ts';
import { TlsContext } from './context/context.ts';
import { selfSigned } from './certificates/self-signed.ts';
import { Authority } from '../testing/tls/authority.ts';
import { localhost, withSecureReactor } from '../testing/tls/secure-reactor.ts';

const messageOf = (outcome: Promise<unknown>): Promise<string> =>
  outcome.then(
    () => 'nothing failed',
    (error: unknown) => (error as Error).message,
  );

/** @returns the first flight of a TLS client. */
function hello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const stream = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _, done) {
        resolve(chunk);
        done();
      },
    });
    tlsConnect({ socket: stream }).on('error', () => undefined);
  });
}

describe('the error message', () => {
  it('for close_notify during the handshake says that the peer has closed', () =>
    withSecureReactor(async ({ reactor, server }) => {
      const first = await hello();
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const told = new Promise<Error>((resolve) => listener.once('clientError', resolve));
      listener.serve({ secure: await server() }, () => undefined);
      const socket = netConnect(portOf(listener), '127.0.0.1').on('error', () => undefined);
      // The server has answered by now, so the close_notify arrives in the middle of the handshake.
      socket.once('data', () => socket.write(Buffer.from('15030300020100', 'hex')));
      socket.write(first);
      const error = await told;
      expect(error).toBeInstanceOf(ClosedError);
      expect(error.message).toBe(
        'handshake failed: the peer closed the connection before it was complete (close_notify)',
      );
      socket.destroy();
    }));

  it('for a write to a failed stream says why the stream failed', () =>
    withReactor(async (reactor) => {
      const connection = fromDuplex(
        reactor,
        new Duplex({
          read: () => undefined,
          write(_, __, done) {
            done(new Error('disk full'));
          },
        }),
      );
      await connection.send('first').catch(() => undefined);
      expect(await messageOf(connection.send('second'))).toBe('the stream failed: disk full');
      connection.abort();
    }));

  it('for unreadable PEM says whether it is empty, something else, or broken', () => {
    const { certificate, key } = selfSigned();
    const read = (pem: string): string => {
      try {
        Certificate.loadAll(pem);
        return 'nothing failed';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(
      [
        '',
        'no PEM at all',
        key,
        `-----BEGIN CERTIFICATE-----\n${certificate}`,
        certificate.replace(/-----END[^]*/, ''),
        `-----BEGIN CERTIFICATE-----\n${certificate}${certificate}`,
      ].map(read),
    ).toEqual([
      'the text holds no certificate in PEM: it is empty',
      'the text holds no certificate in PEM: it has no line that begins with -----BEGIN',
      'the text holds no certificate in PEM but a PRIVATE KEY',
      expect.stringContaining('the text holds a broken certificate'),
      expect.stringContaining('the text holds a broken certificate'),
      expect.stringContaining('the text holds a broken certificate'),
    ]);
    expect(() => Certificate.loadAll(Buffer.from(Certificate.load(certificate).der))).toThrow('it seems to be DER');
  });

  it('for an encrypted key without a password says that it is encrypted', async () => {
    const { certificate, key } = selfSigned();
    const locked = execFileSync('openssl', ['pkcs8', '-topk8', '-passout', 'pass:x1'], { input: key }).toString();
    const outcome = messageOf(TlsContext.server({ certificate: { pem: certificate }, key: { pem: locked } }));
    expect(await outcome).toBe('the private key is encrypted: give its `password`');
    (await TlsContext.server({ certificate: { pem: certificate }, key: { pem: locked }, password: 'x1' })).close();
  });

  it('for a key that is too small names the option that decides', async () => {
    const { certificate, key } = new Authority().issue({ key: 'rsa1024' });
    expect(await messageOf(TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } }))).toMatch(
      /key too small for the security level \(option dangerouslyLowerSecurityLevel\)$/,
    );
  });

  it('for a second serve says that the listener already serves', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      listener.serve({}, () => undefined);
      expect(() => listener.serve({}, () => undefined)).toThrow(
        new BusyError('accept', 'accept', 'the listener already passes every connection to the handler of serve()'),
      );
      expect(() => listener.serve({}, () => undefined)).toThrow(
        'accept refused: the listener already passes every connection to the handler of serve()',
      );
      listener.close();
    }));
});

describe('certificate authorities', () => {
  const openssl = (args: string[], input: string): string => {
    const { status, stdout, stderr } = spawnSync('openssl', args, { input, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return stdout;
  };

  it('with trust settings are trusted only for the listed purposes', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      listener.on('clientError', () => undefined);
      listener.serve({ secure: await server() }, async (connection) => {
        await connection.send('hello\n');
      });
      const outcome = async (args: string[]): Promise<string> => {
        const pem = openssl(['x509', '-trustout', ...args], localhost.certificate);
        expect(pem).toContain('TRUSTED CERTIFICATE');
        const secure = await client({ ca: { pem } });
        return messageOf(
          reactor.connectSecure({ host: 'localhost', port: portOf(listener), secure }).then(async (connection) => {
            expect(await connection.receive()).toBe('hello');
            await connection.close();
          }),
        );
      };
      expect(await outcome(['-addtrust', 'serverAuth'])).toBe('nothing failed');
      expect(await outcome(['-addreject', 'serverAuth'])).toBe(
        "the server's certificate is not accepted: certificate rejected",
      );
      expect(await outcome(['-addtrust', 'clientAuth'])).toMatch(/^the server's certificate is not accepted/);
    }));

  it('are read from a directory in three formats; other files are listed as skipped', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'wantio-'));
    try {
      const one = selfSigned({ names: ['one.test'] }).certificate;
      writeFileSync(join(directory, 'a.pem'), one);
      writeFileSync(
        join(directory, 'b.pem'),
        openssl(['x509', '-trustout'], selfSigned({ names: ['two.test'] }).certificate),
      );
      writeFileSync(
        join(directory, 'c.der'),
        Certificate.load(selfSigned({ names: ['three.test'] }).certificate).toX509Certificate().raw,
      );
      writeFileSync(join(directory, 'README'), 'certificates of ours');
      const context = await TlsContext.client({ ca: { directory } });
      expect(context.skippedFiles).toEqual([
        {
          path: join(directory, 'README'),
          why: 'it holds no certificate and no revocation list, neither in PEM nor in DER',
        },
      ]);
      context.close();
      writeFileSync(join(directory, 'd.pem'), one.replace(/MI/, '!!'));
      expect(await messageOf(TlsContext.client({ ca: { directory } }))).toMatch(
        new RegExp(`^the CA file ${directory}/d.pem holds a broken certificate`),
      );
      for (const name of ['a.pem', 'b.pem', 'c.der', 'd.pem']) rmSync(join(directory, name));
      expect(await messageOf(TlsContext.client({ ca: { directory } }))).toBe(
        `the CA directory ${directory} holds no certificate: ${join(directory, 'README')} (it holds no certificate and no revocation list, neither in PEM nor in DER)`,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
