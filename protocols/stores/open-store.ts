/** Stores by address, as command lines and configurations name them. */

import { join } from 'node:path';

import { checkArgument, secret } from '../../core/options.ts';
import { reactorRule } from '../../reactor/reactor-rule.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import { FileSessionStore } from './files/file-store.ts';
import { LmdbSessionStore } from './lmdb-store.ts';
import { MemorySessionStore } from './memory-store.ts';
import { RedisSessionStore } from './redis-store.ts';
import { SessionServerStore } from './session-server/session-server-store.ts';
import type { TakingSessionStore } from './store.ts';
import { anyText } from './store-rules.ts';

/**
 * Opens the store at an address: `memory` (of this process alone), `files:DIR`, `lmdb:DIR`, `redis://HOST:PORT` or
 * `rediss://…`, or `unix:PATH` for a session server, which `reactor` connects to. What is not there fails with the
 * first use.
 * @throws {RangeError} for any other address.
 */
export function openSessionStore(address: string, reactor: Reactor): TakingSessionStore {
  checkArgument('openSessionStore', 'the address', address, secret(anyText));
  checkArgument('openSessionStore', 'the reactor', reactor, reactorRule);
  const [, scheme, rest] = /^(files|lmdb|unix):(.+)$/.exec(address) ?? [];
  if (address === 'memory') return new MemorySessionStore();
  if (/^rediss?:\/\//.test(address)) return new RedisSessionStore({ url: address });
  if (scheme === 'files') return new FileSessionStore({ directory: rest });
  if (scheme === 'lmdb') return new LmdbSessionStore({ path: join(rest, 'sessions.mdb') });
  if (scheme === 'unix') return new SessionServerStore(reactor, { path: rest });
  // It may be an address with a password in it that was mistyped.
  throw new RangeError(
    `a session store is memory, files:DIR, lmdb:DIR, redis://HOST:PORT, rediss://HOST:PORT or unix:PATH, not ${address.replace(/[^/]*@/, '…@')}`,
  );
}
