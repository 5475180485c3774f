/** Makes the socket file of a session server. */

import { lstat, rename } from 'node:fs/promises';

import { SystemError } from '../../../core/errors.ts';
import type { Listener } from '../../../reactor/listening/listener.ts';
import type { Reactor } from '../../../reactor/reactor.ts';
import { StoreError } from '../store-error.ts';

/**
 * Listens on a socket file that only this user can open. It replaces the file of a server that no longer runs.
 * @throws {StoreError} when another server listens there, or the file is not a socket.
 */
export async function listenPrivately(reactor: Reactor, path: string): Promise<Listener> {
  try {
    return await listenOnce(reactor, path);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EADDRINUSE') throw error;
  }
  await replaceStale(reactor, path);
  return listenOnce(reactor, path);
}

/** Listens once. The umask gives the file its mode at `bind`, so that other users can never open it. */
function listenOnce(reactor: Reactor, path: string): Promise<Listener> {
  const mask = process.umask(0o177);
  try {
    // `listen` binds synchronously, before the umask is restored.
    return reactor.listen({ path });
  } finally {
    process.umask(mask);
  }
}

async function replaceStale(reactor: Reactor, path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === false) throw new StoreError('failed', `${path} is not a socket and was not replaced`);
  if (await answers(reactor, path)) throw inUse(path);
  // Another server may have replaced the file a moment ago. So it is renamed and probed again: under the new name no
  // other server can replace it.
  const aside = `${path}.${String(process.pid)}`;
  await rename(path, aside);
  if (await answers(reactor, aside)) {
    await rename(aside, path);
    throw inUse(path);
  }
  reactor.loop.ground.calls.unlink(aside);
}

/** Whether a server listens on the socket. */
async function answers(reactor: Reactor, path: string): Promise<boolean> {
  try {
    const connection = await reactor.connect({ path, timeouts: { totalMs: PROBE_MS } });
    connection.abort();
    return true;
  } catch (error) {
    // A server that is too busy to accept is alive, too.
    return !(error instanceof SystemError) || (error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
  }
}

function inUse(path: string): StoreError {
  return new StoreError('failed', `another session server already listens on ${path}`);
}

const PROBE_MS = 1_000;
