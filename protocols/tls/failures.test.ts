import { createHash, createPrivateKey, createSign, createVerify, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { BoundsError, ClosedError, OperationTimeoutError, SystemError, TruncatedError } from '../../core/errors.ts';
import type { Listener } from '../../reactor/listening/listener.ts';
import { portOf } from '../../reactor/testing/with-reactor.ts';
import { openssl } from './openssl.ts';
import { selfSigned } from './certificates/self-signed.ts';
import { localhost, withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';
import { CertificateError, TlsError } from './tls-error.ts';

const host = '127.0.0.1';

/**
 * Serves TLS while `attack` misbehaves; @returns the error that the server reports. A connection that existed before
 * the attack must still work after it, and so must `node:crypto`.
 */
async function serverErrorOf(secure: SecureReactor, attack: (port: number) => Promise<void>): Promise<Error> {
  const listener = await echoListener(secure);
  const witness = await secure.reactor.connectSecure({ host, port: portOf(listener), secure: await secure.client() });
  const told = new Promise<Error>((resolve) => listener.once('clientError', resolve));
  await attack(portOf(listener));
  const error = await told;
  cryptoWorks();
  await witness.send('still served\n');
  expect(await witness.receive()).toBe('still served');
  await witness.close();
  return error;
}

async function echoListener(secure: SecureReactor): Promise<Listener> {
  const listener = await secure.reactor.listen({ host, port: 0 });
  listener.serve({ secure: await secure.server(), timeouts: { blockMs: 5_000 } }, async (connection) => {
    for await (const line of connection.lines({ maxBytes: 100 })) await connection.send(`${line}\n`);
  });
  return listener;
}

/** Connects without TLS, sends `bytes`, and receives until the server ends the connection. */
async function sendPlain(port: number, bytes: string | Uint8Array): Promise<Uint8Array> {
  const socket = tcpConnect(port, host);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => undefined);
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks);
}

/** An error that is left in OpenSSL's error queue would fail the next call that reads the queue. */
function cryptoWorks(): void {
  expect(createHash('sha256').update('').digest('hex')).toMatch(/^e3b0c442/);
  const signature = createSign('sha256').update('text').sign(localhost.key);
  expect(
    createVerify('sha256').update('text').verify(new X509Certificate(localhost.certificate).publicKey, signature),
  ).toBe(true);
  expect(() => createPrivateKey('no key')).toThrow(/DECODER|PEM|unsupported/);
}

async function clientErrorOf(promise: PromiseLike<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  cryptoWorks();
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

describe('a TLS server keeps serving others when a client', () => {
  it('sends garbage instead of a client hello', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        await sendPlain(port, Buffer.from('this is no client hello at all'));
      });
      expect(error).toBeInstanceOf(TlsError);
      expect(error).toMatchObject({
        code: 'ERR_WANTIO_TLS',
        reason: 'not TLS',
        side: 'local',
        message: expect.stringContaining('does not speak TLS') as string,
      });
    }));

  it('sends a record that is too long, and gets an alert for it', () =>
    withSecureReactor(async (secure) => {
      let answer: Uint8Array = new Uint8Array();
      const error = await serverErrorOf(secure, async (port) => {
        answer = await sendPlain(port, Buffer.from([22, 3, 1, 255, 255, 1, 2, 3]));
      });
      expect(error).toMatchObject({
        name: 'TlsError',
        side: 'local',
        library: 'SSL routines',
        reason: expect.stringContaining('length too long') as string,
      });
      expect([...answer.subarray(0, 2)]).toEqual([21, 3]);
    }));

  it('speaks plain HTTP', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        await sendPlain(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      });
      expect(error).toMatchObject({
        name: 'TlsError',
        reason: 'plain HTTP',
        message: 'handshake failed: the peer speaks plain HTTP where TLS was expected',
      });
    }));

  it('resets in the middle of the handshake', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        const socket = tcpConnect(port, host);
        socket.write(Buffer.from([22, 3, 1, 1, 0, 1]));
        await once(socket, 'connect');
        await secure.reactor.select({}, 5);
        socket.resetAndDestroy();
      });
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toMatchObject({ code: 'ECONNRESET', syscall: 'recv' });
    }));

  it('ends in the middle of the handshake', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        const socket = tcpConnect(port, host);
        socket.end(Buffer.from([22, 3, 1, 1, 0, 1]));
        socket.resume();
        await once(socket, 'close');
      });
      expect(error).toBeInstanceOf(ClosedError);
      expect(error.message).toBe('handshake failed: the peer closed the connection before it was complete');
    }));

  it('ends without close_notify', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        const raw = tcpConnect(port, host);
        const socket = tlsConnect({ socket: raw, servername: 'localhost', ca: localhost.certificate });
        socket.on('error', () => undefined);
        await once(socket, 'secureConnect');
        socket.write('half a li');
        await secure.reactor.select({}, 5);
        raw.end();
      });
      expect(error).toBeInstanceOf(TruncatedError);
      expect(error).toMatchObject({ partial: Uint8Array.from(Buffer.from('half a li')) });
    }));

  it('sends a line longer than maxBytes', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        const connection = await secure.reactor.connectSecure({ host, port, secure: await secure.client() });
        await connection.send('x'.repeat(101));
        expect((await connection.receive('*a')).length).toBe(0);
        await connection.close();
      });
      expect(error).toBeInstanceOf(BoundsError);
      expect(error).toMatchObject({
        option: 'maxBytes',
        limit: 100,
        message: 'the line is longer than 100 bytes (option maxBytes)',
      });
    }));

  it('sends a broken record after the handshake', () =>
    withSecureReactor(async (secure) => {
      const error = await serverErrorOf(secure, async (port) => {
        const raw = tcpConnect(port, host);
        const socket = tlsConnect({ socket: raw, servername: 'localhost', ca: localhost.certificate });
        socket.on('error', () => undefined);
        await once(socket, 'secureConnect');
        raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32)]));
        await new Promise((resolve) => socket.once('close', resolve));
      });
      expect(error).toMatchObject({
        name: 'TlsError',
        reason: expect.stringMatching(/bad record mac|decryption failed/) as string,
      });
    }));

  it('sends nothing: the handshake times out', () =>
    withSecureReactor(async (secure) => {
      const listener = await secure.reactor.listen({ host, port: 0 });
      const told = new Promise<Error>((resolve) => listener.once('clientError', resolve));
      listener.serve({ secure: await secure.server(), handshakeMs: 20 }, () => undefined);
      await sendPlain(portOf(listener), '');
      const error = await told;
      expect(error).toBeInstanceOf(OperationTimeoutError);
      expect(error.message).toBe('handshake timed out (total 20 ms) waiting to read');
    }));

  it('leaves handshakes unfinished: the oldest is dropped for a new one', () =>
    withSecureReactor(async (secure) => {
      const listener = await secure.reactor.listen({ host, port: 0 });
      listener.serve({ secure: await secure.server(), maxHandshakes: 3 }, async (connection) => {
        await connection.send('served');
      });
      const silent = [];
      for (let i = 0; i < 5; i++) silent.push(await secure.reactor.connect({ host, port: portOf(listener) }));
      const connection = await secure.reactor.connectSecure({
        host,
        port: portOf(listener),
        secure: await secure.client(),
      });
      expect(Buffer.from(await connection.receive('*a')).toString()).toBe('served');
      const dropped = await Promise.allSettled(silent.map((each) => each.receive('*a', { timeouts: { blockMs: 50 } })));
      expect(dropped.map((each) => each.status === 'rejected' && each.reason instanceof SystemError)).toEqual([
        true,
        true,
        true,
        false,
        false,
      ]);
      for (const each of silent) each.abort();
      await connection.close();
    }));
});

describe('a TLS client refuses', () => {
  it('an untrusted certificate, and sends the server an alert', () =>
    withSecureReactor(async (secure) => {
      let seen: Error | undefined;
      const remote = await serverErrorOf(secure, async (port) => {
        seen = await clientErrorOf(
          secure.reactor.connectSecure({ host, port, secure: await secure.client({ ca: undefined }) }),
        );
      });
      expect(seen).toBeInstanceOf(CertificateError);
      expect(seen?.message).toBe("the server's certificate is not accepted: self-signed certificate");
      expect(remote).toMatchObject({ name: 'TlsError', side: 'remote', alert: 48 });
    }));

  it('a certificate of another host, and reports whose it is', () =>
    withSecureReactor(async (secure) => {
      let seen: Error | undefined;
      await serverErrorOf(secure, async (port) => {
        seen = await clientErrorOf(
          secure.reactor.connectSecure({ host, port, secure: await secure.client(), serverName: 'example.org' }),
        );
      });
      expect(seen).toMatchObject({
        name: 'WrongHostError',
        expected: 'example.org',
        field: 'subjectAltName',
        actual: expect.stringContaining('DNS:localhost') as string,
      });
    }));

  it('a server that speaks plain HTTP', () =>
    withSecureReactor(async (secure) => {
      const web = createHttpServer();
      web.listen(0, host);
      await once(web, 'listening');
      const { port } = web.address() as AddressInfo;
      expect(
        await clientErrorOf(secure.reactor.connectSecure({ host, port, secure: await secure.client() })),
      ).toMatchObject({ name: 'TlsError', reason: 'plain HTTP' });
      web.close();
    }));

  it('a server without a version in common', () =>
    withSecureReactor(async (secure) => {
      const listener = await secure.reactor.listen({ host, port: 0 });
      listener.serve({ secure: await secure.server({ protocols: { min: 'TLSv1.3' } }) }, () => undefined);
      const error = await clientErrorOf(
        secure.reactor.connectSecure({
          host,
          port: portOf(listener),
          secure: await secure.client({ protocols: { max: 'TLSv1.2' } }),
        }),
      );
      expect(error).toMatchObject({ name: 'TlsError', side: 'remote', alert: 70 });
    }));

  it('a server without an application protocol in common', () =>
    withSecureReactor(async (secure) => {
      const listener = await secure.reactor.listen({ host, port: 0 });
      listener.serve({ secure: await secure.server({ alpn: ['a'] }) }, () => undefined);
      const error = await clientErrorOf(
        secure.reactor.connectSecure({ host, port: portOf(listener), secure: await secure.client({ alpn: ['b'] }) }),
      );
      expect(error).toMatchObject({ name: 'TlsError', side: 'remote', alert: 120 });
    }));

  it('to start without a server name', () =>
    withSecureReactor(async (secure) => {
      const listener = await secure.reactor.listen({ host, port: 0 });
      const plain = await secure.reactor.connect({ host, port: portOf(listener) });
      const context = await secure.client();
      expect(() => plain.secure(context, { serverName: '' })).toThrow(/serverName/);
      plain.abort();
    }));
});

describe('a context refuses', () => {
  it('files that are missing or contain something else', () =>
    withSecureReactor(async (secure) => {
      const other = selfSigned();
      await expect(secure.server({ certificate: { file: '/no/such/file.pem' } })).rejects.toMatchObject({
        name: 'FileError',
        code: 'ENOENT',
        message: 'cannot read the certificate /no/such/file.pem: no such file',
      });
      await expect(secure.server({ certificate: { pem: 'nothing' } })).rejects.toMatchObject({
        name: 'TlsError',
        message: expect.stringContaining('holds no certificate in PEM') as string,
      });
      await expect(secure.server({ key: { pem: localhost.certificate } })).rejects.toMatchObject({
        message: expect.stringContaining('the private key cannot be read') as string,
      });
      await expect(secure.server({ key: { pem: other.key } })).rejects.toMatchObject({
        message: expect.stringMatching(/private key/) as string,
      });
      await expect(secure.client({ ca: { pem: '' } })).rejects.toMatchObject({
        message: expect.stringContaining('the CA file holds no certificate') as string,
      });
      cryptoWorks();
    }));

  it('an encrypted key without its password, and accepts it with the password', () =>
    withSecureReactor(async (secure) => {
      const pem = createPrivateKey(localhost.key).export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-256-cbc',
        passphrase: 'secret',
      });
      await expect(secure.server({ key: { pem } })).rejects.toMatchObject({ name: 'TlsError' });
      await expect(secure.server({ key: { pem }, password: 'wrong' })).rejects.toMatchObject({
        message: expect.stringContaining('with the given password') as string,
      });
      await secure.server({ key: { pem }, password: 'secret' });
      cryptoWorks();
    }));

  it("nothing because of errors that other code left in OpenSSL's queue", () =>
    withSecureReactor(async (secure) => {
      openssl().BIO_read(0, new Uint8Array(1), 1);
      expect(openssl().ERR_peek_error()).not.toBe(0);
      await expect(secure.server()).resolves.toBeDefined();
      openssl().ERR_clear_error();
    }));

  it('unknown option values, instead of verifying nobody', () =>
    withSecureReactor(async (secure) => {
      await expect(secure.client({ verify: 'required' as 'peer' })).rejects.toThrow(
        'verify takes \'peer\' (to verify nothing use dangerouslyVerifyNobody), not "required"',
      );
      await expect(secure.client({ protocols: { min: 'TLSv1.4' as 'TLSv1.3' } })).rejects.toThrow(
        "protocols.min takes 'TLSv1' or 'TLSv1.1' or 'TLSv1.2' or 'TLSv1.3', not \"TLSv1.4\"",
      );
    }));

  it('ciphers and groups that select nothing', () =>
    withSecureReactor(async (secure) => {
      await expect(secure.client({ ciphers: 'NONSENSE' })).rejects.toMatchObject({
        name: 'TlsError',
        message: expect.stringContaining('ciphers "NONSENSE"') as string,
      });
      await expect(secure.client({ ciphersuites: 'NONSENSE' })).rejects.toMatchObject({ name: 'TlsError' });
      await expect(secure.client({ groups: 'NONSENSE' })).rejects.toMatchObject({ name: 'TlsError' });
      cryptoWorks();
    }));
});
