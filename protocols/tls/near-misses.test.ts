// For each accepted case, the similar case that must be rejected.

import { describe, expect, it } from 'vitest';

import { AbortError } from '../../core/errors.ts';
import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import { Reactor } from '../../reactor/reactor.ts';
import type { Address } from '../../reactor/addresses/address.ts';
import { portOf } from '../../reactor/testing/with-reactor.ts';
import { Certificate } from './certificates/certificate.ts';
import { Authority } from '../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';

const root = new Authority({ commonName: 'root' });
const identityOf = ({ chain, key }: { chain: string; key: string }) => ({
  certificate: { pem: chain },
  key: { pem: key },
});

describe('a chain', () => {
  const middle = root.intermediate({ commonName: 'a' });
  const lower = middle.intermediate({ commonName: 'b' });
  const lowest = lower.intermediate({ commonName: 'c' });

  it('of five certificates is verified, and both sides list it in order', () =>
    withSecureReactor(async (secure) => {
      const issued = lowest.issue();
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca: { pem: root.pem } }),
        server: await secure.server(identityOf(issued)),
      });
      const names = (which: 'sent' | 'verified'): string[] =>
        pair[0].peerChain(which).map((each) => each.subject()[0]?.value ?? '');
      expect(names('sent')).toEqual(['localhost', 'c', 'b', 'a']);
      expect(names('verified')).toEqual(['localhost', 'c', 'b', 'a', 'root']);
      expect(pair[1].localChain().map((each) => each.digest())).toEqual(
        pair[0].peerChain().map((each) => each.digest()),
      );
      const verified = pair[0].peerChain('verified');
      verified.slice(1).forEach((issuer, index) => {
        expect(issuer.issued(verified[index])).toBe(true);
      });
      for (const issuer of verified.slice(2)) expect(issuer.issued(verified[0])).toBe(false);
      abort(...pair);
    }));

  it.each([0, 1, 2])('without the link %i is rejected', (gone) =>
    withSecureReactor(async (secure) => {
      const issued = lowest.issue();
      const links = [lowest, lower, middle].filter((_, index) => index !== gone).map(({ pem }) => pem);
      const server = await secure.server({
        certificate: { pem: issued.certificate + links.join('') },
        key: { pem: issued.key },
      });
      const pair = await securePair(secure, { client: await secure.client({ ca: { pem: root.pem } }), server });
      expect((await failuresOf(...pair.map((each) => each.handshake())))[0]).toMatchObject({
        name: 'CertificateError',
      });
      abort(...pair);
    }),
  );

  it('deeper than `depth` is rejected', () =>
    withSecureReactor(async (secure) => {
      for (const [depth, isAccepted] of [
        [3, true],
        [2, false],
      ] as const) {
        const pair = await securePair(secure, {
          client: await secure.client({ ca: { pem: root.pem }, depth }),
          server: await secure.server(identityOf(lowest.issue())),
        });
        const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
        expect(failure === undefined, String(depth)).toBe(isAccepted);
        abort(...pair);
      }
    }));
});

describe('an issuer', () => {
  it('that is no authority is rejected, even with the right name and signature', () =>
    withSecureReactor(async (secure) => {
      const notAuthority = new Authority({ commonName: 'no authority', ca: false }, root);
      const issued = notAuthority.issue();
      expect(Certificate.load(notAuthority.pem).issued(Certificate.load(issued.certificate))).toBe(false);
      const pair = await securePair(secure, {
        client: await secure.client({ ca: { pem: root.pem } }),
        server: await secure.server({
          certificate: { pem: issued.certificate + notAuthority.pem },
          key: { pem: issued.key },
        }),
      });
      expect((await failuresOf(...pair.map((each) => each.handshake())))[0]).toMatchObject({
        name: 'CertificateError',
        reason: 'INVALID_CA',
      });
      abort(...pair);
    }));

  it('with the right name but another key is not taken for the issuer', () => {
    const sameName = new Authority({ commonName: 'root' });
    expect(Certificate.load(sameName.pem).issued(Certificate.load(root.issue().certificate))).toBe(false);
  });
});

describe('a certificate', () => {
  it('that was accepted without a check is not reported as verified', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ dangerouslyVerifyNobody: true }),
        server: await secure.server(),
      });
      expect(pair[0].peerCertificate()).toBeDefined();
      expect(pair[0].verification().ok).toBe(false);
      abort(...pair);
    }));

  it('that was accepted with a fault is not reported as verified', () =>
    withSecureReactor(async (secure) => {
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca: { pem: root.pem }, dangerouslyAccept: 'all' }),
        server: await secure.server(),
      });
      expect(pair[0].verification().ok).toBe(false);
      abort(...pair);
    }));

  it('covers a host name with an underscore only exactly, or by a wildcard for the whole label', () =>
    withSecureReactor(async (secure) => {
      const serverName = 'my_app.example.test';
      for (const [name, isAccepted] of [
        [serverName, true],
        ['*.example.test', true],
        ['my-app.example.test', false],
        ['m*.example.test', false],
        ['*.test', false],
        ['*.*.test', false],
        ['example.test', false],
        ['*_app.example.test', false],
      ] as const) {
        const { certificate, key } = root.issue({ names: [name] });
        expect(Certificate.load(certificate).checkHost(serverName) !== undefined, name).toBe(isAccepted);
        const pair = await securePair(secure, {
          client: await secure.client({ ca: { pem: root.pem } }),
          server: await secure.server({ certificate: { pem: certificate }, key: { pem: key } }),
          serverName,
        });
        const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
        expect(failure === undefined, name).toBe(isAccepted);
        abort(...pair);
      }
      const wild = Certificate.load(root.issue({ names: ['*.example.test', '*.my_zone.test', '*.test'] }).certificate);
      for (const name of [
        'a.b_c.example.test',
        'a_b.c.example.test',
        'a_b.my_zone.test',
        'a_b.test',
        '*.example.test',
        'xn--a_b.example.test',
      ])
        expect(wild.checkHost(name), name).toBeUndefined();
    }));
});

describe('connecting', () => {
  /** Calls `use` with a reactor whose lookups return `addresses`, and with the list of the addresses that it tries. */
  const dialing = async (
    addresses: readonly string[],
    use: (reactor: Reactor, port: number, tried: string[]) => Promise<void>,
  ): Promise<void> => {
    const tried: string[] = [];
    const ground = epollGround((calls) => ({
      ...calls,
      connect: (fd, address) => {
        if (address.family !== 'unix') tried.push(address.host);
        return calls.connect(fd, address);
      },
    }));
    let port = 0;
    const reactor = new Reactor({
      ...ground,
      lookUp: () =>
        Promise.resolve(
          addresses.map((host): Address => ({ family: host.includes(':') ? 'IPv6' : 'IPv4', host, port })),
        ),
    });
    const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
    port = portOf(listener);
    try {
      await use(reactor, port, tried);
    } finally {
      reactor.abort();
      await reactor.close();
    }
  };

  it('reaches the only live address, the last of many in both families, and tries each once', () =>
    dialing(['::1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.1'], async (reactor, port, tried) => {
      const client = await reactor.connect({ host: 'many.test', port, timeouts: { totalMs: 5_000 } });
      expect(client.remoteAddress).toEqual({ family: 'IPv4', host: '127.0.0.1', port });
      expect(tried).toEqual(['::1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.1']);
    }));

  it('alternates between the address families, whatever the order of the answers', () =>
    dialing(['127.0.0.2', '127.0.0.3', '::2', '::1', '127.0.0.4'], async (reactor, port, tried) => {
      await expect(
        Promise.resolve(reactor.connect({ host: 'many.test', port, timeouts: { totalMs: 5_000 } })),
      ).rejects.toMatchObject({ syscall: 'connect' });
      expect(tried).toEqual(['127.0.0.2', '::2', '127.0.0.3', '::1', '127.0.0.4']);
    }));

  it('with an already aborted signal tries no address', () =>
    dialing(['127.0.0.1'], async (reactor, port, tried) => {
      for (const host of ['many.test', '127.0.0.1'])
        await expect(
          Promise.resolve(reactor.connect({ host, port, signal: AbortSignal.abort() })),
        ).rejects.toBeInstanceOf(AbortError);
      expect(tried).toEqual([]);
    }));

  it('throws for an invalid host name, before it registers an operation', () =>
    withSecureReactor(async ({ reactor, client }) => {
      const secure = await client();
      for (const host of ['a b.test', 'a\0b', 'https://a.test', '[::1]', '127.1', '*.test']) {
        expect(() => reactor.connect({ host, port: 1 }), host).toThrow(RangeError);
        expect(() => reactor.connectSecure({ host, port: 1, secure }), host).toThrow(/^host cannot be/);
        expect(() => reactor.connectSecure({ host: 'a.test', port: 1, secure, serverName: host }), host).toThrow(
          /^serverName cannot be/,
        );
        expect(() => secure.with({ serverName: host }), host).toThrow(/^serverName cannot be/);
        expect(() => secure.with({ expect: { name: host } }), host).toThrow(/^name cannot be/);
        await expect(client({ expect: { name: host } }), host).rejects.toThrow(/^name cannot be/);
        await expect(reactor.listen({ host, port: 0 }), host).rejects.toThrow(/^host cannot be/);
      }
      expect(reactor.operations()).toEqual([]);
    }));
});

describe('serverNames', () => {
  it('rejects names that no client can send, and one name in two spellings', () =>
    withSecureReactor(async ({ server }) => {
      const context = await server();
      for (const name of ['127.0.0.1', '::1', 'a b', '*', '*.', 'a.*.test', '0x7f.1', 'https://a.test', ''])
        await expect(server({ serverNames: { [name]: context } }), name).rejects.toThrow(/^serverNames takes names/);
      await expect(server({ serverNames: { 'Bücher.test': context, 'xn--bcher-kva.test.': context } })).rejects.toThrow(
        'serverNames has "xn--bcher-kva.test" twice',
      );
    }));

  it('matches a name that is configured with a trailing dot and non-ASCII letters', () =>
    withSecureReactor(async (secure) => {
      const issued = root.issue({ names: ['xn--bcher-kva.test'] });
      const named = await secure.server({ certificate: { pem: issued.certificate }, key: { pem: issued.key } });
      const { byServerName } = await import('./served-names.ts');
      expect(byServerName({ 'BÜCHER.test.': named })({ serverName: 'xn--bcher-kva.test', alpn: [] })).toBe(named);
    }));
});
