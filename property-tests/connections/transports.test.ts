// Law: every transport passes the conformance checks: real and simulated sockets, TLS over each, and TLS over TLS.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import type { Connection } from '../../reactor/connections/connection.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { World } from '../../reactor/simulated/world.ts';
import { checkTransport } from '../kit/check-transport.ts';
import type { TransportPair } from '../kit/check-transport.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const [tls13, tls12] = await Promise.all([contextsFor('TLSv1.3'), contextsFor('TLSv1.2')]);

type Ends = [near: Connection, far: Connection];
interface Ground {
  ends(clogged: boolean): Promise<Ends>;
  settle(): Promise<void>;
  dispose(): Promise<void>;
}

function real(target: () => { host: string; port: number } | { path: string }): () => Ground {
  return () => {
    const reactor = new Reactor();
    return {
      async ends(clogged) {
        const sizes = clogged ? { sendBuffer: 8_192, receiveBuffer: 8_192 } : {};
        const listener = await reactor.listen({ ...target(), ...sizes });
        const { address } = listener;
        return Promise.all([
          reactor.connect({ ...(address.family === 'unix' ? { path: address.path } : address), ...sizes }),
          listener.accept(),
        ]);
      },
      // The first turn handles what the kernel reports, the second the consequences.
      settle: async () => {
        for (let turn = 0; turn < 2; turn++) await reactor.select({}, 1);
      },
      dispose: async () => {
        reactor.abort();
        await reactor.close();
      },
    };
  };
}

function simulated(): Ground {
  const world = new World();
  const size = (clogged: boolean) => (clogged ? { sendBuffer: 5_000, receiveBuffer: 5_000 } : {});
  return {
    ends: (clogged) =>
      world.run(
        (async (): Promise<Ends> => {
          const [here, there] = [world.machine('here', size(clogged)), world.machine('there', size(clogged))];
          const listener = await there.reactor.listen({ host: '0.0.0.0', port: 1 });
          return Promise.all([here.reactor.connect({ host: 'there', port: 1 }), listener.accept()]);
        })(),
      ),
    settle: () => world.run(world.sleep(1)),
    dispose: async () => {
      for (const { reactor } of world.machines) reactor.abort();
      await world.run(Promise.all(world.machines.map(({ reactor }) => reactor.close())));
    },
  };
}

/** Puts TLS over both ends, one layer for each element of `layers`, and runs the handshakes. */
async function secured([near, far]: Ends, ground: Ground, layers: readonly (typeof tls13)[]): Promise<Ends> {
  let ends: Ends = [near, far];
  for (const contexts of layers) {
    ends = [ends[0].secure(contexts.client, { serverName: 'there' }), ends[1].secure(contexts.server)];
    let settled = false;
    const shaken = Promise.all(ends.map((end) => end.handshake())).finally(() => {
      settled = true;
    });
    while (!settled) await ground.settle();
    await shaken;
  }
  return ends;
}

const path = (): { path: string } => ({ path: join(mkdtempSync(join(tmpdir(), 'wantio-')), 's') });
const grounds: Record<string, () => Ground> = {
  'simulated sockets': simulated,
  TCP: real(() => ({ host: '127.0.0.1', port: 0 })),
  'Unix sockets': real(path),
};
const layerings: Record<string, readonly (typeof tls13)[]> = {
  '': [],
  'TLS 1.3 over ': [tls13],
  'TLS 1.2 over ': [tls12],
  'TLS over TLS over ': [tls12, tls13],
};

for (const [layering, layers] of Object.entries(layerings))
  for (const [name, makeGround] of Object.entries(grounds)) {
    const make = (clogged: boolean) => async (): Promise<TransportPair> => {
      const ground = makeGround();
      const [near, far] = await secured(await ground.ends(clogged), ground, layers);
      // TLS detects an abort itself: an end without close_notify is a truncation.
      const tellsAborts = name !== 'Unix sockets' || layers.length > 0;
      return {
        near: near.transport,
        far: far.transport,
        tellsAborts,
        settle: () => ground.settle(),
        dispose: () => ground.dispose(),
      };
    };
    describe(`${layering}${name}`, () => {
      for (const check of checkTransport(make(false), make(true))) it(check.name, check.run);
    });
  }
