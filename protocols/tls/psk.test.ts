import { describe, expect, it } from 'vitest';

import { TlsContext } from './context/context.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';

const key = Buffer.alloc(32, 7);
const none = { certificate: undefined, key: undefined };

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a shared key, under %s', (max) => {
  const protocols = { max };

  it('replaces certificates', () =>
    withSecureReactor(async (secure) => {
      const asked: string[] = [];
      const server = await secure.server({
        ...none,
        psk: (identity) => {
          asked.push(identity);
          return identity === 'me' ? key : undefined;
        },
      });
      const pair = await shakenPair(secure, {
        client: await secure.client({ psk: { identity: 'me', key }, protocols }),
        server,
      });
      expect(asked).toEqual(['me']);
      expect(pair[0].peerCertificate()).toBeUndefined();
      await talk(...pair);
      abort(...pair);
    }));

  it('ends the handshake when it is wrong, or its identity is unknown', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...none, psk: (identity) => (identity === 'me' ? key : undefined) });
      for (const psk of [
        { identity: 'me', key: Buffer.alloc(32, 8) },
        { identity: 'you', key },
      ]) {
        const pair = await securePair(secure, { client: await secure.client({ psk, protocols }), server });
        const failures = await failuresOf(...pair.map((each) => each.handshake()));
        expect(failures).toMatchObject([
          { name: 'TlsError', side: 'remote' },
          { name: 'TlsError', side: 'local' },
        ]);
      }
    }));

  it('can be looked up asynchronously by the client', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...none, psk: () => key });
      const client = await secure.client({
        psk: () =>
          new Promise((resolve) => {
            setImmediate(resolve, { identity: 'me', key });
          }),
        protocols,
      });
      const pair = await shakenPair(secure, { client, server });
      await talk(...pair);
      abort(...pair);
    }));

  it("fails the client's handshake when its lookup rejects", () =>
    withSecureReactor(async (secure) => {
      const pair = await securePair(secure, {
        client: await secure.client({ psk: () => Promise.reject(new Error('locked')), protocols }),
      });
      await expect(pair[0].handshake()).rejects.toMatchObject({
        name: 'TlsError',
        message: 'handshake failed: psk failed: locked',
      });
      abort(...pair);
    }));
});

it('a TLS 1.3 server can look up a shared key asynchronously, for either digest', () =>
  withSecureReactor(async (secure) => {
    for (const digest of ['sha256', 'sha384'] as const) {
      const ciphersuites = digest === 'sha384' ? 'TLS_AES_256_GCM_SHA384' : undefined;
      const server = await secure.server({
        ...none,
        ciphersuites,
        psk: () =>
          new Promise((resolve) => {
            setImmediate(resolve, { key, digest });
          }),
      });
      const pair = await shakenPair(secure, {
        client: await secure.client({ psk: { identity: 'me', key, digest } }),
        server,
      });
      expect(pair[0].info().cipher).toMatch(digest === 'sha256' ? /SHA256/ : /SHA384/);
      await talk(...pair);
      abort(...pair);
    }
  }));

it('a TLS 1.2 server fails the handshake when its lookup of a shared key is asynchronous', () =>
  withSecureReactor(async (secure) => {
    const server = await secure.server({ ...none, psk: () => Promise.resolve(key), protocols: { max: 'TLSv1.2' } });
    const pair = await securePair(secure, { client: await secure.client({ psk: { identity: 'me', key } }), server });
    const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
    expect(failure).toMatchObject({ name: 'TlsError', cause: { name: 'TypeError' } });
    expect((failure as Error).message).toContain('a TLS 1.2 server cannot wait for a shared key');
  }));

it('pskHint reaches the client under TLS 1.2', () =>
  withSecureReactor(async (secure) => {
    const hints: unknown[] = [];
    const server = await secure.server({
      ...none,
      psk: (identity) => (identity === 'blue' ? key : undefined),
      pskHint: 'which colour',
      protocols: { max: 'TLSv1.2' },
    });
    const client = await secure.client({
      psk: (hint) => {
        hints.push(hint);
        return { identity: hint === undefined ? 'red' : 'blue', key };
      },
    });
    const pair = await shakenPair(secure, { client, server });
    expect(hints).toEqual([undefined, 'which colour']);
    await talk(...pair);
    abort(...pair);
  }));

it('a psk callback that aborts its connection only closes it', () =>
  withSecureReactor(async (secure) => {
    const pairs: Awaited<ReturnType<typeof securePair>>[] = [];
    const server = await secure.server({
      ...none,
      psk: () => {
        pairs[0][1].abort();
        return key;
      },
      protocols: { max: 'TLSv1.2' },
    });
    const pair = await securePair(secure, { client: await secure.client({ psk: { identity: 'me', key } }), server });
    pairs.push(pair);
    const failures = await failuresOf(...pair.map((each) => each.handshake()));
    expect(failures).toMatchObject([{}, { name: 'ClosedError' }]);
    abort(...pair);
  }));

it('invalid keys and identities are rejected', () =>
  withSecureReactor(async (secure) => {
    for (const psk of [
      { identity: '', key },
      ...[0, 1, 15, 300].map((length) => ({ identity: 'me', key: Buffer.alloc(length) })),
    ]) {
      await expect(secure.client({ psk })).rejects.toBeInstanceOf(RangeError);
    }
    for (const psk of [
      { identity: 'a\0b', key },
      { identity: 'x'.repeat(200), key },
    ]) {
      const pair = await securePair(secure, { client: await secure.client({ psk }) });
      await expect(pair[0].handshake()).rejects.toMatchObject({ name: 'TlsError', cause: { name: 'RangeError' } });
      abort(...pair);
    }
    await expect(TlsContext.server({})).rejects.toBeInstanceOf(TypeError);
  }));
