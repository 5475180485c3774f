/** Mistakes and calls at the wrong moment must not crash, mix up connections, or let an unverified peer in. */

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { SecureConnection } from './secure-connection.ts';
import { MapStore } from '../testing/stores/map-store.ts';
import { TicketKeys } from './sessions/ticket-keys.ts';
import type { TlsSession } from './sessions/session.ts';
import { Authority } from '../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import { CertificateError } from './tls-error.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const issued = authority.issue();
const identity = { certificate: { pem: issued.certificate }, key: { pem: issued.key } };
const tls12 = { protocols: { max: 'TLSv1.2' } } as const;
const key = Buffer.alloc(32, 1);
const none = { certificate: undefined, key: undefined };
const identityOf = (name: string) => {
  const made = authority.issue({ names: [name] });
  return { certificate: { pem: made.certificate }, key: { pem: made.key } };
};

describe('a handler', () => {
  it('that receives on another connection when a session arrives gets no bytes of this connection', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...identity, resumption: 'stateless' });
      const client = await secure.client({ ca });
      const [one, two] = [await shakenPair(secure, { client, server }), await shakenPair(secure, { client, server })];
      await two[1].send('for the other\n');
      let other: Promise<string> | undefined;
      one[0].session$.subscribe(() => {
        other ??= two[0].receive();
      });
      // One read brings both the tickets and the answer.
      await one[1].send('for this one\n');
      expect(await one[0].receive()).toBe('for this one');
      expect(await other).toBe('for the other');
      abort(...one, ...two);
    }));

  it('that aborts when a key is logged during a renegotiation only closes the connection', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca, ...tls12, dangerouslyLogKeys: 'event' }),
        server: await secure.server({ ...identity, allowPeerRenegotiations: 1 }),
      });
      pair[0].on('keylog', () => {
        pair[0].abort();
      });
      const [mine, theirs] = await failuresOf(pair[0].renegotiate(), pair[1].receive());
      expect([mine, theirs]).toMatchObject([{ name: 'ClosedError' }, {}]);
      abort(...pair);
    }));

  it.each(['updateKeys', 'renegotiate'] as const)(
    'that aborts when the handshake is complete stops the %s that follows',
    (action) =>
      withSecureReactor(async (secure) => {
        const pair = await securePair(secure, {
          client: await secure.client({ ca }),
          server: await secure.server(identity),
        });
        pair[0].on('secure', () => {
          pair[0].abort();
        });
        const [failure] = await failuresOf(pair[0][action](), pair[1].handshake());
        expect(failure).toMatchObject({ name: 'ClosedError' });
        abort(...pair);
      }),
  );

  it('that drives the handshake that is calling it gets a BusyError', () =>
    withSecureReactor(async (secure) => {
      const pairs: [SecureConnection, SecureConnection][] = [];
      const server = await secure.server({
        ...none,
        ...tls12,
        psk: () => {
          pairs[0][1].tryHandshake();
          return key;
        },
      });
      pairs.push(
        await securePair(secure, { client: await secure.client({ ...tls12, psk: { identity: 'me', key } }), server }),
      );
      const [, failure] = await failuresOf(...pairs[0].map((each) => each.handshake()));
      expect(failure).toMatchObject({ name: 'TlsError', cause: { name: 'BusyError' } });
      abort(...pairs[0]);
    }));

  it('that passes a string to trySend gets a TypeError, and the connection still works', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca }),
        server: await secure.server(identity),
      });
      expect(() => pair[0].trySend('text' as never)).toThrow(TypeError);
      await talk(...pair);
      abort(...pair);
    }));
});

describe('a mistake lets no unverified peer in:', () => {
  it('a chosen context that is closed while the choice is prepared is not replaced by the original one', () =>
    withSecureReactor(async (secure) => {
      const strict = await secure.server({
        ...identity,
        verify: 'fail_if_no_peer_cert',
        ca,
        ocspStaple: () =>
          new Promise((resolve) => {
            setImmediate(() => {
              strict.close();
              resolve(undefined);
            });
          }),
      });
      const server = await secure.server({ ...identity, chooseContext: () => strict });
      const pair = await securePair(secure, { client: await secure.client({ ca, ...tls12 }), server });
      const [, first] = await failuresOf(pair[0].handshake(), pair[1].receive());
      expect(first).toMatchObject({
        name: 'TlsError',
        message: 'handshake failed: handshake refused: the TLS context is closed',
      });
      expect(pair[1].secured).toBe(false);
      abort(...pair);
    }));

  it('a choice that is no context is an error, and does not select the original context', () =>
    withSecureReactor(async (secure) => {
      const strict = await secure.server({ ...identity, verify: 'fail_if_no_peer_cert', ca });
      const server = await secure.server({ ...identity, chooseContext: () => strict.with({}) as never });
      const pair = await securePair(secure, { client: await secure.client({ ca }), server });
      const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
      expect(failure).toMatchObject({ name: 'TlsError', cause: { name: 'TypeError' } });
      abort(...pair);
      await expect(
        secure.server({ ...identity, serverNames: { 'a.test': strict.with({}) as never } }),
      ).rejects.toBeInstanceOf(TypeError);
    }));

  it('TLSA records are checked even with dangerouslyVerifyNobody', () =>
    withSecureReactor(async (secure) => {
      const client = (await secure.client({ dangerouslyVerifyNobody: true })).with({
        tlsa: [{ usage: 3, selector: 0, matchingType: 1, data: Buffer.alloc(32) }],
      });
      const pair = await securePair(secure, { client, server: await secure.server(identity) });
      const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
      expect(failure).toMatchObject({ reason: 'DANE_NO_MATCH' });
      abort(...pair);
    }));

  it('a `verify` option that would verify nobody is an error', async () => {
    await withSecureReactor(async (secure) => {
      for (const verify of [[], 'none', ['none']])
        await expect(secure.client({ verify: verify as never })).rejects.toThrow("verify takes 'peer'");
      await expect(secure.client({ verify: 'peer', dangerouslyVerifyNobody: true })).rejects.toThrow('not both');
      await expect(secure.server({ ...identity, verify: [] })).rejects.toBeInstanceOf(RangeError);
      await expect(secure.server({ ...identity, verify: 'peer' })).rejects.toBeInstanceOf(TypeError);
    });
  });

  it('a server name with a zero byte or a leading dot is an error', () =>
    withSecureReactor(async (secure) => {
      for (const serverName of ['localhost\0.evil.test', '.localhost']) {
        await expect(
          securePair(secure, {
            client: await secure.client({ ca }),
            server: await secure.server(identity),
            serverName,
          }),
        ).rejects.toMatchObject({ name: 'RangeError', message: expect.stringContaining('serverName cannot be') });
      }
      for (const connection of secure.reactor.connections) connection.abort();
    }));

  it('a server checks `expect` after each handshake', () =>
    withSecureReactor(async (secure) => {
      // The client first presents no certificate, which the server accepts because it requires none. Then the server
      // asks, and the certificate is for another name.
      const server = await secure.server({ ...identity, ca });
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca, ...identityOf('bob.test') }),
        server: server.with({}),
      });
      Object.assign((pair[1].transport as never as { options: object }).options, { expect: { name: 'alice.test' } });
      const [failure] = await failuresOf(pair[1].requestClientCertificate(), pair[0].receive());
      expect(failure).toMatchObject({ name: 'WrongHostError', expected: 'alice.test' });
      abort(...pair);
    }));
});

it('a client certificate that arrives after its request timed out is still checked', () =>
  withSecureReactor(async (secure) => {
    const pair = await shakenPair(secure, {
      client: await secure.client({ ca, ...identityOf('bob.test') }),
      server: (await secure.server({ ...identity, ca })).with({}),
    });
    Object.assign((pair[1].transport as never as { options: object }).options, { expect: { name: 'alice.test' } });
    await expect(pair[1].requestClientCertificate({ timeouts: { blockMs: 5 } })).rejects.toMatchObject({
      name: 'OperationTimeoutError',
    });
    const [failure] = await failuresOf(pair[1].receive(), pair[0].receive());
    expect(failure).toMatchObject({ name: 'WrongHostError', expected: 'alice.test' });
    abort(...pair);
  }));

it('session$ completes when the connection is aborted, also for later subscribers', () =>
  withSecureReactor(async (secure) => {
    const pair = await shakenPair(secure, {
      client: await secure.client({ ca }),
      server: await secure.server(identity),
    });
    const ended = new Promise<void>((resolve) => pair[0].session$.subscribe({ complete: resolve }));
    abort(...pair);
    await ended;
    await new Promise<void>((resolve) => pair[1].session$.subscribe({ complete: resolve }));
  }));

describe('a session is not resumed:', () => {
  const visit = async (
    secure: Parameters<Parameters<typeof withSecureReactor>[0]>[0],
    client: Awaited<ReturnType<typeof secure.client>>,
    server: Awaited<ReturnType<typeof secure.server>>,
  ): Promise<[string, TlsSession | undefined]> => {
    const pair = await shakenPair(secure, { client, server });
    await talk(...pair);
    const seen: [string, TlsSession | undefined] = [pair[1].resumption, pair[0].session];
    abort(...pair);
    return seen;
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'one of a shared key, by a server that knows only other keys, under %s',
    (max) =>
      withSecureReactor(async (secure) => {
        const ticketKeys = new TicketKeys();
        const serverOf = (name: string) =>
          secure.server({
            ...none,
            resumption: 'stateless',
            ticketKeys,
            psk: (identity) => (identity === name ? key : undefined),
          });
        const [alices, bobs] = [await serverOf('alice'), await serverOf('bob')];
        const client = await secure.client({ psk: { identity: 'alice', key }, protocols: { max }, sessions: 'off' });
        const [first, session] = await visit(secure, client, alices);
        expect(first).not.toBe('resumed');
        const pair = await securePair(secure, {
          client: (await secure.client({ psk: { identity: 'alice', key }, protocols: { max } })).with({ session }),
          server: bobs,
        });
        const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
        expect(failure).toMatchObject({ name: 'TlsError' });
        abort(...pair);
      }),
  );

  it('one of a client whose certificate was revoked since', () =>
    withSecureReactor(async (secure) => {
      const person = authority.issue({ names: ['someone.test'] });
      const shared = {
        ...identity,
        resumption: 'stateful',
        sessionStore: new MapStore(),
        sessionStoreKey: key,
        verify: 'fail_if_no_peer_cert',
        ca,
      } as const;
      const [before, after] = [
        await secure.server({ ...shared, crls: { pem: authority.crl([]) } }),
        await secure.server({ ...shared, crls: { pem: authority.crl([person.serial]) } }),
      ];
      const client = await secure.client({ ca, certificate: { pem: person.certificate }, key: { pem: person.key } });
      const [, session] = await visit(secure, client, before);
      const pair = await securePair(secure, { client: client.with({ session }), server: after });
      const [, failure] = await failuresOf(pair[0].receive(), pair[1].handshake());
      expect(failure).toMatchObject({ reason: 'CERT_REVOKED' });
      abort(...pair);
    }));

  it('one for another server name, when it is passed explicitly', () =>
    withSecureReactor(async (secure) => {
      const evil = await secure.server({ ...identityOf('evil.test'), resumption: 'stateless' });
      const client = await secure.client({ ca });
      const first = await shakenPair(secure, { client, server: evil, serverName: 'evil.test' });
      await talk(...first);
      const { session } = first[0];
      abort(...first);
      // This server resumes a session without a check of the name, as servers of OpenSSL do.
      expect(session?.resumable).toBe(true);
      const pair = await securePair(secure, {
        client: client.with({ session }),
        server: evil,
        serverName: 'bank.test',
      });
      const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
      expect(failure).toMatchObject({ name: 'WrongHostError' });
      abort(...pair);
    }));
});

describe('an easy confusion:', () => {
  it('strict server names refuse a client that sends no name', () =>
    withSecureReactor(async (secure) => {
      for (const max of ['TLSv1.2', 'TLSv1.3'] as const) {
        const server = await secure.server({
          ...identity,
          strictServerNames: true,
          serverNames: { 'a.test': await secure.server(identityOf('a.test')) },
        });
        // An IP address is not sent as a server name.
        const client = await secure.client({ ca, dangerouslySkipNameCheck: true, protocols: { max } });
        const pair = await securePair(secure, { client, server, serverName: '127.0.0.1' });
        expect(await failuresOf(...pair.map((each) => each.handshake()))).toMatchObject([
          { alert: 112 },
          { alert: 112 },
        ]);
      }
    }));

  it('a common name does not replace a missing subjectAltName', () =>
    withSecureReactor(async (secure) => {
      const made = authority.issue({ subjectAltName: false, commonName: 'localhost' });
      const server = await secure.server({ certificate: { pem: made.certificate }, key: { pem: made.key } });
      const [failure] = await failuresOf(
        ...(await securePair(secure, { client: await secure.client({ ca }), server })).map((each) => each.handshake()),
      );
      expect(failure).toBeInstanceOf(CertificateError);
      abort(
        ...(await shakenPair(secure, {
          client: await secure.client({ ca, dangerouslyUseOldNameRules: true }),
          server,
        })),
      );
    }));

  it('a revoked certificate is rejected by both kinds of crlCheck', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server(identity);
      for (const crlCheck of ['leaf', 'chain'] as const) {
        for (const [crl, isWelcome] of [
          [authority.crl([issued.serial]), false],
          [authority.crl(), true],
        ] as const) {
          const client = await secure.client({ ca, crls: { pem: crl }, crlCheck });
          const pair = await securePair(secure, { client, server });
          const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
          if (isWelcome) expect(failure).toBeUndefined();
          else expect(failure).toBeInstanceOf(CertificateError);
          abort(...pair);
        }
      }
    }));

  it('a renegotiation that this side begins does not allow the peer to begin one', () =>
    withSecureReactor(async (secure) => {
      const [near, far] = await shakenPair(secure, {
        client: await secure.client({ ca, ...tls12, allowPeerRenegotiations: 1 }),
        server: await secure.server(identity),
      });
      const receiving = [near, far].map((each) => each.receive('*a').catch((error: unknown) => error));
      await far.renegotiate();
      await expect(near.renegotiate()).rejects.toThrow();
      expect(far.statistics.renegotiations).toBe(1);
      abort(near, far);
      await Promise.all(receiving);
    }));

  it('an existing key log file that others can read becomes private', () =>
    withSecureReactor(async (secure) => {
      const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
      const file = join(folder, 'keys');
      writeFileSync(file, '', { mode: 0o644 });
      await secure.client({ ca, dangerouslyLogKeys: { file } });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      rmSync(folder, { recursive: true });
    }));

  it('an empty exporter context differs from none under TLS 1.2 only (RFC 5705)', () =>
    withSecureReactor(async (secure) => {
      for (const max of ['TLSv1.2', 'TLSv1.3'] as const) {
        const [near, far] = await shakenPair(secure, {
          client: await secure.client({ ca, protocols: { max } }),
          server: await secure.server(identity),
        });
        const exported = (end: SecureConnection, ...context: Uint8Array[]): string =>
          Buffer.from(end.exportKeyingMaterial(32, 'EXPORTER-of-a-test', ...context)).toString('hex');
        const [empty, absent] = [exported(near, new Uint8Array(0)), exported(near)];
        expect(empty === absent).toBe(max === 'TLSv1.3');
        expect([exported(far, new Uint8Array(0)), exported(far)]).toEqual([empty, absent]);
        abort(near, far);
      }
    }));
});
