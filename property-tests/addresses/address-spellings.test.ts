// Law: the spelling of a host makes no difference. The host is an IPv6 address, with a zone or without, or a name that
// only a wildcard covers. In every spelling the connection reaches the same machine, passes the same verification, gets
// the same certificate by server name, and resumes the session of any other spelling. This holds for stateful and
// stateless sessions, and wherever the caller gives the name.

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { TlsContext } from '../../protocols/tls/context/context.ts';
import { Authority } from '../../protocols/testing/tls/authority.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const hosts = [
  {
    names: ['shop.bücher.test', 'shop.xn--bcher-kva.test'],
    certificate: ['*.xn--bcher-kva.test'],
    key: '*.Bücher.test.',
  },
  { names: ['my_app.example.test'], certificate: ['*.example.test'], key: '*.example.test' },
  {
    names: ['2001:db8::1', '2001:DB8:0:0::1', '2001:db8:0:0:0:0:0.0.0.1'],
    certificate: ['2001:db8::1'],
    key: undefined,
  },
  {
    names: ['::ffff:10.0.0.9', '::ffff:a00:9', '0:0:0:0:0:FFFF:10.0.0.9'],
    certificate: ['::ffff:10.0.0.9'],
    key: undefined,
  },
] as const;

const spelling = fc.record({ which: fc.nat(), isUpper: fc.boolean(), hasEnd: fc.boolean() });
const plan = fc.record({
  host: fc.nat({ max: hosts.length - 1 }),
  spellings: fc.array(spelling, { minLength: 2, maxLength: 3 }),
  version: fc.constantFrom('TLSv1.2', 'TLSv1.3'),
  policy: fc.constantFrom('stateful', 'stateless'),
  givesServerName: fc.boolean(),
  givesExpected: fc.boolean(),
});

function spelt(
  names: readonly string[],
  { which, isUpper, hasEnd }: { which: number; isUpper: boolean; hasEnd: boolean },
): string {
  const name = names[which % names.length];
  return (isUpper ? name.toUpperCase() : name) + (hasEnd ? (name.includes(':') ? '%7' : '.') : '');
}

it('connect, verification, routing and resumption work alike in every spelling of a host', async () => {
  const authority = new Authority();
  let resumed = 0;
  await checkLaw(
    fc.asyncProperty(plan, async ({ host: index, spellings, version, policy, givesServerName, givesExpected }) => {
      const host = hosts[index];
      const issued = authority.issue({ names: host.certificate });
      const other = authority.issue({ names: ['other.test'] });
      const options = { resumption: policy, protocols: { max: version } } as const;
      const own = await TlsContext.server({
        certificate: { pem: issued.certificate },
        key: { pem: issued.key },
        ...options,
      });
      const server =
        host.key === undefined
          ? own
          : await TlsContext.server({
              certificate: { pem: other.certificate },
              key: { pem: other.key },
              ...options,
              serverNames: { [host.key]: own },
            });
      const client = await TlsContext.client({ ca: { pem: authority.pem } });
      const contexts = new Set([own, server, client]);
      try {
        await simulate({}, async (world) => {
          const far = world.machine('far', { addresses: ['10.0.0.1', '2001:db8::1', '::ffff:10.0.0.9'] });
          const near = world.machine('near', { addresses: ['10.0.0.2', '2001:db8::2'] });
          for (const name of ['shop.bücher.test', 'my_app.example.test']) world.network.name(name, ['10.0.0.1']);
          const listener = await far.reactor.listen({ host: index < 2 ? '0.0.0.0' : '::', port: 443 });
          listener.serve({ secure: server }, async (connection) => {
            await connection.send(`${await connection.receive()}\n`);
          });
          const names = new Set<string | undefined>();
          for (const [visit, each] of spellings.entries()) {
            const name = spelt(host.names, each);
            const secure =
              givesServerName || givesExpected
                ? client.with({
                    ...(givesServerName ? { serverName: name } : {}),
                    ...(givesExpected
                      ? { expect: { name: spelt(host.names, spellings[(visit + 1) % spellings.length]) } }
                      : {}),
                  })
                : client;
            const connection = await near.reactor.connectSecure({ host: name, port: 443, secure });
            await connection.send('hello\n');
            expect(await connection.receive()).toBe('hello');
            if (visit > 0) {
              expect(connection.resumption, `${name} after ${spelt(host.names, spellings[visit - 1])}`).toBe('resumed');
              resumed++;
            }
            names.add(connection.info().serverName);
            await connection.close();
          }
          expect(names.size).toBe(1);
        });
      } finally {
        for (const context of contexts) context.close();
      }
    }),
    60,
  );
  if (!replaying()) expect(resumed).toBeGreaterThan(0);
}, 300_000);
