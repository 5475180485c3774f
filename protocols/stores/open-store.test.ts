import { describe, expect, it } from 'vitest';

import { Reactor } from '../../reactor/reactor.ts';
import { FileSessionStore } from './files/file-store.ts';
import { LmdbSessionStore } from './lmdb-store.ts';
import { MemorySessionStore } from './memory-store.ts';
import { openSessionStore } from './open-store.ts';
import { RedisSessionStore } from './redis-store.ts';
import { SessionServerStore } from './session-server/session-server-store.ts';

describe('openSessionStore', () => {
  it('opens a store of the kind that the address names', async () => {
    const reactor = new Reactor();
    for (const [address, kind] of [
      ['memory', MemorySessionStore],
      ['files:/tmp/none', FileSessionStore],
      ['lmdb:/tmp/none', LmdbSessionStore],
      ['redis://localhost:1', RedisSessionStore],
      ['rediss://localhost:1', RedisSessionStore],
      ['unix:/tmp/none.sock', SessionServerStore],
    ] as const) {
      const store = openSessionStore(address, reactor);
      expect(store).toBeInstanceOf(kind);
      await store.close?.();
    }
    await reactor.close();
  });

  it.each(['', 'Memory', 'files:', 'drawer', 'redis:/user:secret@host', 'http://user:secret@host/'])(
    'rejects %j without showing the password',
    (address) => {
      const reactor = new Reactor();
      let message = '';
      try {
        openSessionStore(address, reactor);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        ({ message } = error as Error);
      }
      expect(message).toContain('a session store is memory, files:DIR');
      expect(message).not.toContain('secret');
      reactor.abort();
    },
  );
});
