import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { portOf, withReactor } from '../testing/with-reactor.ts';

const own = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };

describe('peerCredentials', () => {
  it('are those of the process at the other end of a Unix socket', () =>
    withReactor(async (reactor) => {
      const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
      const path = join(folder, 'socket');
      const listener = await reactor.listen({ path });
      const [client, server] = await Promise.all([reactor.connect({ path }), listener.accept()]);
      expect(server.peerCredentials).toEqual(own);
      expect(client.peerCredentials).toEqual(own);
      client.abort();
      server.abort();
      expect(server.peerCredentials).toBeUndefined();
      listener.close();
      rmSync(folder, { recursive: true });
    }));

  it('are undefined on other sockets', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([
        reactor.connect({ host: '127.0.0.1', port: portOf(listener) }),
        listener.accept(),
      ]);
      expect(server.peerCredentials).toBeUndefined();
      client.abort();
      server.abort();
      listener.close();
    }));
});
