/** What users do in the wrong moment, or mean by a slip, must not crash, cross over, or let anybody in. */

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

describe('a handler in the wrong moment', () => {
  it('that receives on another connection when a session comes does not get the bytes of this one', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...identity, resumption: 'stateless' });
      const client = await secure.client({ ca });
      const [one, two] = [await shakenPair(secure, { client, server }), await shakenPair(secure, { client, server })];
      await two[1].send('for the other\n');
      let other: Promise<string> | undefined;
      one[0].session$.subscribe(() => {
        other ??= two[0].receive();
      });
      // The tickets and the answer come with one read.
      await one[1].send('for this one\n');
      expect(await one[0].receive()).toBe('for this one');
      expect(await other).toBe('for the other');
      abort(...one, ...two);
    }));

  it('that aborts when a key is logged in the middle of a renegotiation only aborts', () =>
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
    'that aborts when the handshake is complete stops the %s behind it',
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

  it('that goes on with the handshake it is asked in is refused', () =>
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

  it('that sends what is no memory gets a TypeError, and the connection goes on', () =>
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

describe('nobody gets in by a slip:', () => {
  it('a context that is closed while the choice is prepared is not replaced by the one that was not chosen', () =>
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

  it('a choice that is no context is a failure, not the other context', () =>
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

  it('records of the DNS are asked for their proof although nothing else is verified', () =>
    withSecureReactor(async (secure) => {
      const client = (await secure.client({ dangerouslyVerifyNobody: true })).with({
        tlsa: [{ usage: 3, selector: 0, matchingType: 1, data: Buffer.alloc(32) }],
      });
      const pair = await securePair(secure, { client, server: await secure.server(identity) });
      const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
      expect(failure).toMatchObject({ reason: 'DANE_NO_MATCH' });
      abort(...pair);
    }));

  it('to verify nobody must be said', async () => {
    await withSecureReactor(async (secure) => {
      for (const verify of [[], 'none', ['none']])
        await expect(secure.client({ verify: verify as never })).rejects.toThrow("verify takes 'peer'");
      await expect(secure.client({ verify: 'peer', dangerouslyVerifyNobody: true })).rejects.toThrow('not both');
      await expect(secure.server({ ...identity, verify: [] })).rejects.toBeInstanceOf(RangeError);
      await expect(secure.server({ ...identity, verify: 'peer' })).rejects.toBeInstanceOf(TypeError);
    });
  });

  it('a name with a zero or a dot in front is none', () =>
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

  it('whom a server expects it expects after each handshake', () =>
    withSecureReactor(async (secure) => {
      // At first the client shows nobody, which is taken when nobody is demanded; then it is asked, and is somebody
      // else.
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

it('who answers after the one who asked has given up is looked at all the same', () =>
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

it('those who wait for sessions learn that none will come', () =>
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

describe('a session does not cross over:', () => {
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

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('of one shared key to a server that knows others, under %s', (max) =>
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

  it('of a client that has been revoked since', () =>
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

  it('of one server to another name, when it is given by hand', () =>
    withSecureReactor(async (secure) => {
      const evil = await secure.server({ ...identityOf('evil.test'), resumption: 'stateless' });
      const client = await secure.client({ ca });
      const first = await shakenPair(secure, { client, server: evil, serverName: 'evil.test' });
      await talk(...first);
      const { session } = first[0];
      abort(...first);
      // A server that takes it without looking at the name, as OpenSSL's do.
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

describe('what looks right and is not', () => {
  it('is a client without a name where names are strict', () =>
    withSecureReactor(async (secure) => {
      for (const max of ['TLSv1.2', 'TLSv1.3'] as const) {
        const server = await secure.server({
          ...identity,
          strictServerNames: true,
          serverNames: { 'a.test': await secure.server(identityOf('a.test')) },
        });
        // An address is no name, and is not sent.
        const client = await secure.client({ ca, dangerouslySkipNameCheck: true, protocols: { max } });
        const pair = await securePair(secure, { client, server, serverName: '127.0.0.1' });
        expect(await failuresOf(...pair.map((each) => each.handshake()))).toMatchObject([
          { alert: 112 },
          { alert: 112 },
        ]);
      }
    }));

  it('is a common name where there is no subjectAltName', () =>
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

  it('is a revoked certificate, whichever of the chain is looked at', () =>
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

  it('is a renegotiation by the peer after one by this side', () =>
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

  it('is a file for the key log that others may read already', () =>
    withSecureReactor(async (secure) => {
      const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
      const file = join(folder, 'keys');
      writeFileSync(file, '', { mode: 0o644 });
      await secure.client({ ca, dangerouslyLogKeys: { file } });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      rmSync(folder, { recursive: true });
    }));

  it('is an empty context of exported keys under TLS 1.2, which is not the same as none (RFC 5705)', () =>
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
