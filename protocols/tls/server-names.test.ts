import { describe, expect, it } from 'vitest';

import { TlsContext } from './context/context.ts';
import type { TlsServerOptions } from './context/options.ts';
import { Authority } from '../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };

/** A context whose certificate is for `name`. */
function contextFor(secure: SecureReactor, name: string, options: Partial<TlsServerOptions> = {}): Promise<TlsContext> {
  const { certificate, key } = authority.issue({ names: [name] });
  return secure.server({ certificate: { pem: certificate }, key: { pem: key }, ...options });
}

async function seenBy(
  secure: SecureReactor,
  server: TlsContext,
  serverName: string,
  max: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<string | undefined> {
  const pair = await shakenPair(secure, {
    client: await secure.client({ ca, protocols: { max } }),
    server,
    serverName,
  });
  await talk(...pair);
  const name = pair[0].peerCertificate()?.toX509Certificate().subjectAltName;
  expect(pair[1].info().serverName).toBe(serverName.toLowerCase());
  abort(...pair);
  return name;
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a server with serverNames, under %s', (max) => {
  it('presents the certificate for the name, exact before wildcard, ignoring case', () =>
    withSecureReactor(async (secure) => {
      const server = await contextFor(secure, 'other.test', {
        serverNames: {
          'a.example.test': await contextFor(secure, 'a.example.test'),
          '*.Example.test': await contextFor(secure, '*.example.test'),
        },
      });
      expect(await seenBy(secure, server, 'a.example.test', max)).toBe('DNS:a.example.test');
      expect(await seenBy(secure, server, 'A.EXAMPLE.test', max)).toBe('DNS:a.example.test');
      expect(await seenBy(secure, server, 'b.example.test', max)).toBe('DNS:*.example.test');
      expect(await seenBy(secure, server, 'other.test', max)).toBe('DNS:other.test');
    }));

  it('refuses unknown names when it is strict', () =>
    withSecureReactor(async (secure) => {
      const server = await contextFor(secure, 'other.test', {
        serverNames: { 'a.test': await contextFor(secure, 'a.test') },
        strictServerNames: true,
      });
      const pair = await securePair(secure, {
        client: await secure.client({ ca, protocols: { max } }),
        server,
        serverName: 'b.a.test',
      });
      expect(await failuresOf(...pair.map((each) => each.handshake()))).toMatchObject([
        { name: 'TlsError', side: 'remote', alert: 112 },
        {
          name: 'TlsError',
          side: 'local',
          alert: 112,
          reason: 'unrecognized name',
          message: 'handshake refused: there is no server "b.a.test"',
        },
      ]);
      expect(await seenBy(secure, server, 'a.test', max)).toBe('DNS:a.test');
    }));

  it.each([
    ['a callback', false],
    ['an asynchronous callback', true],
  ])('refuses the names that neither the map nor %s knows when it is strict', (_, later) =>
    withSecureReactor(async (secure) => {
      const known = await contextFor(secure, 'b.test');
      const server = await contextFor(secure, 'other.test', {
        serverNames: { 'a.test': await contextFor(secure, 'a.test') },
        chooseContext: ({ serverName }) => {
          const chosen = serverName === 'b.test' ? known : undefined;
          return later ? Promise.resolve(chosen) : chosen;
        },
        strictServerNames: true,
      });
      expect(await seenBy(secure, server, 'a.test', max)).toBe('DNS:a.test');
      expect(await seenBy(secure, server, 'b.test', max)).toBe('DNS:b.test');
      const pair = await securePair(secure, {
        client: await secure.client({ ca, protocols: { max } }),
        server,
        serverName: 'c.test',
      });
      expect(await failuresOf(...pair.map((each) => each.handshake()))).toMatchObject([{ alert: 112 }, { alert: 112 }]);
    }),
  );

  it('is refused when it is strict and has nothing to choose from', () =>
    withSecureReactor(async (secure) => {
      await expect(contextFor(secure, 'other.test', { strictServerNames: true })).rejects.toThrow(
        'strictServerNames needs serverNames or chooseContext',
      );
    }));

  it('applies all options of the chosen context: the required client certificate, the versions, the protocols', () =>
    withSecureReactor(async (secure) => {
      const person = authority.issue();
      const identity = { certificate: { pem: person.certificate }, key: { pem: person.key } };
      const server = await contextFor(secure, 'open.test', {
        alpn: ['general'],
        serverNames: {
          'closed.test': await contextFor(secure, 'closed.test', {
            verify: ['peer', 'fail_if_no_peer_cert'],
            ca,
            alpn: ['special'],
          }),
          'new.test': await contextFor(secure, 'new.test', { protocols: { min: 'TLSv1.3' } }),
        },
      });
      const stranger = await secure.client({ ca, protocols: { max } });
      const refused = await securePair(secure, { client: stranger, server, serverName: 'closed.test' });
      const [, failure] = await failuresOf(refused[0].receive(), refused[1].handshake());
      expect(failure).toMatchObject({ name: 'TlsError', reason: 'peer did not return a certificate' });
      const known = await shakenPair(secure, {
        client: await secure.client({ ca, ...identity, protocols: { max }, alpn: ['special', 'general'] }),
        server,
        serverName: 'closed.test',
      });
      expect(known[1].info().alpn).toBe('special');
      expect(BigInt(`0x${known[1].peerCertificate()?.serial ?? ''}`)).toBe(person.serial);
      abort(...known);
      const pair = await securePair(secure, { client: stranger, server, serverName: 'new.test' });
      const outcome = await failuresOf(...pair.map((each) => each.handshake()));
      expect(outcome.every((failed) => failed === undefined)).toBe(max === 'TLSv1.3');
      abort(...pair);
    }));

  it('waits for an asynchronous chooseContext', () =>
    withSecureReactor(async (secure) => {
      const chosen = await contextFor(secure, 'later.test');
      let answer: (context: TlsContext) => void = () => undefined;
      let asked: unknown;
      const server = await contextFor(secure, 'other.test', {
        alpn: ['x'],
        chooseContext: (hello) => {
          asked = hello;
          return new Promise((resolve) => {
            answer = resolve;
          });
        },
      });
      const pair = await securePair(secure, {
        client: await secure.client({ ca, protocols: { max }, alpn: ['x', 'y'] }),
        server,
        serverName: 'later.test',
      });
      const wanted = new Promise<void>((resolve) =>
        pair[1].wants$.subscribe(({ want }) => {
          if (want === 'lookup') resolve();
        }),
      );
      const done = Promise.all(pair.map((each) => each.handshake()));
      await wanted;
      expect(asked).toEqual({ serverName: 'later.test', alpn: ['x', 'y'] });
      expect(pair[1].want()).toBe('lookup');
      answer(chosen);
      await done;
      await talk(...pair);
      expect(pair[0].peerCertificate()?.checkHost('later.test')).toBe('later.test');
      abort(...pair);
    }));

  it('fails only the handshake whose chooseContext rejects, or exceeds the deadline', () =>
    withSecureReactor(async (secure) => {
      const server = await contextFor(secure, 'fine.test', {
        chooseContext: ({ serverName }) =>
          serverName === 'fine.test'
            ? undefined
            : serverName === 'never.test'
              ? new Promise(() => undefined)
              : Promise.reject(new Error('the store is down')),
      });
      const client = await secure.client({ ca, protocols: { max } });
      const failing = await securePair(secure, { client, server, serverName: 'other.test' });
      expect(await failuresOf(...failing.map((each) => each.handshake()))).toMatchObject([
        { name: 'TlsError', side: 'remote', alert: 80 },
        {
          name: 'TlsError',
          message: 'handshake failed: the choice of a context failed: the store is down',
          cause: { message: 'the store is down' },
        },
      ]);
      const waiting = await securePair(secure, { client, server, serverName: 'never.test' });
      const [, late] = await failuresOf(waiting[0].handshake(), waiting[1].handshake({ timeouts: { totalMs: 30 } }));
      expect(late).toMatchObject({ name: 'OperationTimeoutError', want: 'lookup', mode: 'total' });
      abort(...waiting);
      expect(await seenBy(secure, server, 'fine.test', max)).toBe('DNS:fine.test');
    }));

  it('fails the handshake when the chosen context is closed', () =>
    withSecureReactor(async (secure) => {
      const chosen = await contextFor(secure, 'gone.test');
      const server = await contextFor(secure, 'other.test', { serverNames: { 'gone.test': chosen } });
      chosen.close();
      const pair = await securePair(secure, {
        client: await secure.client({ ca, protocols: { max } }),
        server,
        serverName: 'gone.test',
      });
      const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
      expect(failure).toMatchObject({
        name: 'TlsError',
        message: 'handshake failed: the choice of a context failed: handshake refused: the TLS context is closed',
      });
    }));

  it('never falls back to the original context, at whatever moment the chosen one is closed', () =>
    withSecureReactor(async (secure) => {
      const client = await secure.client({ ca, protocols: { max } });
      const outcomes = new Set<unknown>();
      for (let turns = 0; turns < 16; turns++) {
        const chosen = await contextFor(secure, 'chosen.test');
        const closeIn = (left: number): void => {
          if (left === 0) chosen.close();
          else
            queueMicrotask(() => {
              closeIn(left - 1);
            });
        };
        const server = await contextFor(secure, 'other.test', {
          chooseContext: () => {
            closeIn(turns);
            return Promise.resolve(chosen);
          },
        });
        const pair = await securePair(secure, { client, server, serverName: 'chosen.test' });
        const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
        outcomes.add((failure as Error | undefined)?.message);
        abort(...pair);
      }
      // Both cases happened: the context was closed before the choice was examined, and between that and its use.
      expect(outcomes).toEqual(
        new Set([
          'handshake failed: the choice of a context failed: handshake refused: the TLS context is closed',
          'handshake failed: handshake refused: the TLS context is closed',
        ]),
      );
    }));
});

it('TlsContext.server rejects invalid server names', async () => {
  const { certificate, key } = authority.issue();
  const context = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
  for (const name of ['', '*', 'a.*.test', '*.', 'with space']) {
    await expect(
      TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, serverNames: { [name]: context } }),
      name,
    ).rejects.toBeInstanceOf(RangeError);
  }
  context.close();
});
