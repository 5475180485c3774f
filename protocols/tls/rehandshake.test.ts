import { describe, expect, it } from 'vitest';

import { BoundsError } from '../../core/errors.ts';
import { Authority } from '../testing/tls/authority.ts';
import { abort, failuresOf, shakenPair, talk } from '../testing/tls/pair.ts';
import { localhost, withSecureReactor } from '../testing/tls/secure-reactor.ts';

const tls12 = { protocols: { max: 'TLSv1.2' } } as const;
const authority = new Authority();
const person = authority.issue({ names: ['somebody@example.org'] });
const identity = { certificate: { pem: person.certificate }, key: { pem: person.key } };
const ca = { pem: authority.pem };

describe('renegotiation under TLS 1.2', () => {
  it('is complete when renegotiate() resolves, begun by the client', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client(tls12),
        server: await secure.server({ allowPeerRenegotiations: 1 }),
      });
      const before = pair[0].finished();
      await talk(...pair);
      const received = pair[1].receive();
      await pair[0].renegotiate();
      const after = pair[0].finished();
      expect(after.local).not.toEqual(before.local);
      await pair[0].send('done\n');
      expect(await received).toBe('done');
      expect(pair[1].finished().remote).toEqual(after.local);
      expect(pair.map(({ statistics }) => statistics.renegotiations)).toEqual([1, 1]);
      await talk(...pair);
      abort(...pair);
    }));

  it('is complete when renegotiate() resolves, begun by the server', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, { client: await secure.client({ ...tls12, allowPeerRenegotiations: 1 }) });
      const before = pair[0].finished();
      const received = pair[0].receive();
      await pair[1].renegotiate();
      expect(pair[1].finished().local).not.toEqual(before.remote);
      await pair[1].send('done\n');
      expect(await received).toBe('done');
      expect(pair[0].finished().remote).toEqual(pair[1].finished().local);
      await talk(...pair);
      abort(...pair);
    }));

  it('by the peer is refused unless it is allowed', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, { client: await secure.client(tls12) });
      const received = pair[1].receive();
      // OpenSSL's client gives up when the server refuses; the server itself only sends the refusal.
      const [refusal, server] = await failuresOf(pair[0].renegotiate(), received);
      expect(refusal).toMatchObject({ name: 'TlsError', operation: 'renegotiate', reason: 'no renegotiation' });
      expect(server).toMatchObject({ name: 'TlsError', side: 'remote' });
      abort(...pair);
    }));

  it('by the peer stays refused after this side began one', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client(tls12),
        server: await secure.server({ allowPeerRenegotiations: 1 }),
      });
      const [near, far] = pair;
      const received = far.receive();
      await near.renegotiate();
      await near.send('done\n');
      await received;
      const outcome = failuresOf(near.receive(), far.renegotiate());
      const [, refusal] = await outcome;
      expect(refusal).toMatchObject({ name: 'TlsError', operation: 'renegotiate', reason: 'no renegotiation' });
      expect(near.statistics.renegotiations).toBe(1);
      abort(...pair);
    }));

  it('ends the connection when the peer begins more than allowPeerRenegotiations', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client(tls12),
        server: await secure.server({ allowPeerRenegotiations: 2 }),
      });
      const received = pair[1].receive();
      const outcome = failuresOf(received);
      await pair[0].renegotiate();
      await pair[0].renegotiate();
      // The client may learn that the connection ended before or after its handshake is complete.
      await failuresOf(pair[0].renegotiate());
      expect(await outcome).toMatchObject([{ name: 'TlsError', reason: 'too many renegotiations' }]);
      abort(...pair);
    }));

  it('fails under TLS 1.3', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure);
      await expect(pair[0].renegotiate()).rejects.toMatchObject({ name: 'TlsError', reason: 'wrong version' });
      await talk(...pair);
      abort(...pair);
    }));

  it('keeps the data of both directions intact, whichever side begins', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ ...tls12, allowPeerRenegotiations: 100 }),
        server: await secure.server({ allowPeerRenegotiations: 100 }),
      });
      const data = Buffer.alloc(3_000_000, 'abcdefg');
      const sends = pair.map((each) => each.send(data));
      // Both sides keep receiving: a side that does not read does not notice that the peer wants a new handshake.
      const receives = pair.map((each) => each.receive('*a'));
      for (let round = 0; round < 5; round++) await pair[round % 2].renegotiate();
      await Promise.all(sends);
      await Promise.all(pair.map((each) => each.shutdown('send')));
      for (const got of await Promise.all(receives)) expect(Buffer.compare(Buffer.from(got), data)).toBe(0);
      abort(...pair);
    }));

  it('fails when it would buffer more than maxAheadBytes for a caller that does not receive', () =>
    withSecureReactor(async (secure) => {
      const client = (await secure.client(tls12)).with({ maxAheadBytes: 50_000 });
      const pair = await shakenPair(secure, { client, server: await secure.server({ allowPeerRenegotiations: 1 }) });
      await pair[1].send(Buffer.alloc(200_000));
      const [failure] = await failuresOf(pair[0].renegotiate());
      expect(failure).toBeInstanceOf(BoundsError);
      expect(failure).toMatchObject({ option: 'maxAheadBytes', operation: 'renegotiate' });
      expect((await pair[0].receive(200_000)).length).toBe(200_000);
      abort(...pair);
    }));
});

describe('key updates under TLS 1.3', () => {
  it('work in both directions while data flows', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure);
      const data = Buffer.alloc(2_000_000, 'abcdefg');
      const sends = pair.map((each) => each.send(data));
      const receives = pair.map((each) => each.receive(data.length));
      for (let round = 0; round < 20; round++) await pair[round % 2].updateKeys({ peerToo: round % 3 === 0 });
      await Promise.all(sends);
      for (const got of await Promise.all(receives)) expect(Buffer.compare(Buffer.from(got), data)).toBe(0);
      expect(pair[0].statistics.keyUpdates).toBe(10);
      await talk(...pair);
      abort(...pair);
    }));

  it('fail under TLS 1.2', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, { client: await secure.client(tls12) });
      await expect(pair[0].updateKeys()).rejects.toMatchObject({ name: 'TlsError', reason: 'wrong version' });
      await talk(...pair);
      abort(...pair);
    }));
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('requestClientCertificate, under %s,', (max) => {
  const protocols = { max };

  it('gets the certificate and verifies it', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ ...identity, protocols, allowPeerRenegotiations: 1 }),
        server: await secure.server({ ca }),
      });
      expect(pair[1].peerCertificate()).toBeUndefined();
      const received = pair[0].receive();
      await pair[1].requestClientCertificate();
      expect(pair[1].peerCertificate()?.checkEmail('somebody@example.org')).toBeDefined();
      expect(pair[1].verification()).toMatchObject({ result: 'OK', faults: [] });
      await pair[1].send('welcome\n');
      expect(await received).toBe('welcome');
      await talk(...pair);
      abort(...pair);
    }));

  it("ends the connection when the client's certificate is untrusted", () =>
    withSecureReactor(async (secure) => {
      // A TLS 1.3 client without a certificate cannot be asked at all, so this one has an untrusted certificate.
      const stranger = { certificate: { pem: localhost.certificate }, key: { pem: localhost.key } };
      const pair = await shakenPair(secure, {
        client: await secure.client({ ...stranger, protocols, allowPeerRenegotiations: 1 }),
        server: await secure.server({ ca }),
      });
      const received = pair[0].receive();
      const [failure, client] = await failuresOf(pair[1].requestClientCertificate(), received);
      expect(failure).toMatchObject({ operation: 'requestClientCertificate' });
      expect(client).toMatchObject({ name: 'TlsError', side: 'remote' });
      abort(...pair);
    }));

  it('throws without authorities that can verify the certificate', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, { client: await secure.client({ ...identity, protocols }) });
      expect(() => pair[1].requestClientCertificate()).toThrow(TypeError);
      abort(...pair);
    }));
});

it('requestClientCertificate fails when a TLS 1.3 client has no certificate', () =>
  withSecureReactor(async (secure) => {
    const pair = await shakenPair(secure, { server: await secure.server({ ca }) });
    await expect(pair[1].requestClientCertificate()).rejects.toMatchObject({
      name: 'TlsError',
      reason: 'extension not received',
    });
    await talk(...pair);
    abort(...pair);
  }));
