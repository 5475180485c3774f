// Law: sessions with a wrong secret, which make a handshake fail, never make `connectSecure` fail. If the caller puts
// TLS over a connection itself, they cost at most one failed handshake. This holds for any number of kept sessions, in
// this process or in a store.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import { ClientSessions } from '../../protocols/tls/sessions/client-sessions.ts';
import { damaged } from '../../protocols/testing/stores/damaged.ts';
import { MapStore } from '../../protocols/testing/stores/map-store.ts';
import { link } from '../kit/arbitraries.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const { certificate, key } = selfSigned({ names: ['there'] });
const plan = fc.record({
  link: link(),
  isShared: fc.boolean(),
  policy: fc.constantFrom('stateful' as const, 'stateless' as const),
  byHand: fc.boolean(),
  visits: fc.array(fc.record({ damages: fc.boolean(), talks: fc.boolean() }), { minLength: 2, maxLength: 6 }),
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('sessions with a wrong secret, under %s', (version) => {
  it('cost at most one failed operation', async () => {
    let spoiled = 0;
    const outcomes = new Set<string>();
    await checkLaw(
      fc.asyncProperty(plan, async ({ link: carrying, isShared, policy, byHand, visits }) => {
        // This store answers at once, so that no real time passes.
        const store = new MapStore((value) => value);
        const sessions = new ClientSessions(isShared ? { store, storeKey: new Uint8Array(32) } : {});
        const contexts = {
          server: await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, resumption: policy }),
          client: await TlsContext.client({
            ca: { pem: certificate },
            protocols: { min: version, max: version },
            sessions,
          }),
        };
        await simulate({ link: carrying }, async (world) => {
          const [here, there] = [world.machine('here'), world.machine('there')];
          const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
          listener.on('clientError', () => undefined);
          listener.serve({ secure: contexts.server }, async (connection) => {
            await connection.send('hi\n');
            await connection.receive('*a');
          });
          const meet = async (): Promise<SecureConnection> => {
            if (!byHand) return here.reactor.connectSecure({ host: 'there', port: 7, secure: contexts.client });
            const connection = (await here.reactor.connect({ host: 'there', port: 7 })).secure(contexts.client);
            await connection.handshake();
            return connection;
          };
          for (const { damages, talks } of visits) {
            const kept = sessions.export();
            let spoils = 0;
            if (damages && kept.length > 0) {
              sessions.clear();
              spoils = sessions.import(kept.map(({ key: name, der }) => ({ key: name, der: damaged(der) })));
              spoiled += spoils;
            }
            const failures: unknown[] = [];
            let connection;
            while (connection === undefined && failures.length < 2) {
              connection = await meet().catch((error: unknown) => void failures.push(error));
            }
            expect(failures).toHaveLength(byHand && spoils > 0 ? 1 : 0);
            if (connection === undefined) throw new Error('two handshakes failed');
            outcomes.add(connection.resumption);
            if (talks) expect(await connection.receive()).toBe('hi');
            await connection.close();
            await sessions.saved();
          }
        });
        contexts.client.close();
        contexts.server.close();
        sessions.close();
      }),
      100,
    );
    if (replaying()) return;
    expect(spoiled).toBeGreaterThan(0);
    expect([...outcomes].sort()).toEqual(['failed', 'not offered', 'resumed']);
  }, 300_000);
});
