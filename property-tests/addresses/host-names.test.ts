// Law: a host name has one form, however it is spelt. Look-up, server name, verification, routing and session store all
// use this form. A name that no host can have is refused before any work begins.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Certificate } from '../../protocols/tls/certificates/certificate.ts';
import { TlsContext } from '../../protocols/tls/context/context.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import { World } from '../../reactor/simulated/world.ts';
import { checkLaw } from '../kit/law.ts';

/** Names in their one form, and other ways to write them. */
const NAMES = [
  { name: 'host.example.test', spellings: ['host.example.test'] },
  { name: 'xn--bcher-kva.test', spellings: ['xn--bcher-kva.test', 'bücher.test', 'BÜCHER.test', 'bu\u0308cher.test'] },
  { name: 'my_app.wild.test', spellings: ['my_app.wild.test'] },
  { name: 'xn--fa-hia.test', spellings: ['faß.test', 'xn--fa-hia.test'] },
];
const { certificate, key } = selfSigned({
  names: ['host.example.test', 'xn--bcher-kva.test', '*.wild.test', 'xn--fa-hia.test'],
});
const other = selfSigned({ names: ['other.test'] });

/** One name in several spellings: letters of either case, with a dot at the end or without. */
const spelt = fc.constantFrom(...NAMES).chain(({ name, spellings }) => {
  const spelling = fc
    .record({
      text: fc.constantFrom(...spellings),
      capitals: fc.bigInt({ min: 0n, max: (1n << 20n) - 1n }),
      dot: fc.constantFrom('', '.'),
    })
    .map(
      ({ text, capitals, dot }) =>
        Array.from(text, (letter, index) =>
          ((capitals >> BigInt(index)) & 1n) === 1n && /[a-z]/.test(letter) ? letter.toUpperCase() : letter,
        ).join('') + dot,
    );
  return fc.record({ name: fc.constant(name), first: spelling, second: spelling, inMap: spelling, expected: spelling });
});

describe('a host name', () => {
  it(
    'connects, verifies, routes and resumes alike in every spelling',
    () =>
      checkLaw(
        fc.asyncProperty(
          spelt,
          fc.constantFrom('TLSv1.2', 'TLSv1.3'),
          async ({ name, first, second, inMap, expected }, version) => {
            const protocols = { min: version, max: version } as const;
            const inner = await TlsContext.server({
              certificate: { pem: certificate },
              key: { pem: key },
              protocols,
              resumption: 'stateful',
            });
            const server = await TlsContext.server({
              certificate: { pem: other.certificate },
              key: { pem: other.key },
              protocols,
              serverNames: { [inMap]: inner },
              strictServerNames: true,
            });
            const client = await TlsContext.client({ ca: { pem: certificate }, protocols, expect: { name: expected } });
            const world = new World();
            const [here, there] = [world.machine('here'), world.machine('there')];
            world.network.name(name, there.host.addresses);
            const lookedUp: string[] = [];
            const { lookUp } = here.reactor.loop.ground;
            Object.assign(here.reactor.loop.ground, {
              lookUp: (host: string, ...rest: [number, AbortSignal]) => {
                lookedUp.push(host);
                return lookUp(host, ...rest);
              },
            });
            const outcome = await world.run(
              (async () => {
                const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
                const asked: unknown[] = [];
                listener.serve({ secure: server }, async (connection) => {
                  asked.push(connection.info().serverName);
                  await connection.send('hello\n');
                });
                const reused = [];
                for (const host of [first, second]) {
                  const connection = await here.reactor.connectSecure({ host, port: 7, secure: client });
                  expect(await connection.receive()).toBe('hello');
                  reused.push(connection.reused);
                  await connection.close();
                }
                await Promise.all([here.reactor.close(), there.reactor.close()]);
                return { asked, reused };
              })(),
            );
            for (const context of [client, server, inner]) context.close();
            expect(outcome).toEqual({ asked: [name, name], reused: [false, true] });
            expect(lookedUp).toEqual([first, second].map((host) => name + (host.endsWith('.') ? '.' : '')));
            expect(
              [first, second, expected].map((host) => Certificate.load(certificate).checkHost(host) === undefined),
            ).toEqual([false, false, false]);
          },
        ),
        60,
      ),
    600_000,
  );

  it('is refused before any work begins when no host can have it', async () => {
    const world = new World();
    const { reactor } = world.machine('here');
    const client = await TlsContext.client({ ca: { pem: certificate } });
    await checkLaw(
      fc.asyncProperty(
        fc.constantFrom(
          '/',
          '%',
          '\\',
          ':',
          '@',
          '#',
          '?',
          ' ',
          '\t',
          '\0',
          '\u0085',
          '..',
          '.x'.repeat(130),
          'x'.repeat(64),
        ),
        fc.nat(4),
        async (bad, at) => {
          const host = `${'host'.slice(0, at)}${bad}${'host'.slice(at)}.test`;
          for (const begin of [
            () => reactor.connect({ host, port: 1 }),
            () => reactor.connectSecure({ host, port: 1, secure: client }),
            () => reactor.connectSecure({ host: 'here', port: 1, secure: client, serverName: host }),
            () => client.with({ serverName: host }),
          ])
            expect(begin).toThrow(/cannot be|takes/);
          await expect(reactor.listen({ host, port: 1 })).rejects.toThrow(/cannot be/);
          await expect(TlsContext.client({ ca: { pem: certificate }, expect: { name: host } })).rejects.toThrow(
            TypeError,
          );
          expect([reactor.operations().length, reactor.connections.size, reactor.loop.deadlines.size]).toEqual([
            0, 0, 0,
          ]);
        },
      ),
      200,
    );
    for (const host of ['0x7f.1', '127.1', '2130706433', '１２７.0.0.1'])
      expect(() => reactor.connect({ host, port: 1 }), host).toThrow(/another spelling of the address 127\.0\.0\.1/);
    client.close();
  });
});
